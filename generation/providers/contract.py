"""What a provider promises: two small protocols, what a call used, and how one fails.

A text provider turns an episode's source into an outline and a script, a speech provider
turns one segment's text into sound. A provider only makes the call: it doesn't retry, wait,
cache, keep anything or know an operation. Whoever calls it does that, by the errors here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from operations.exceptions import WorkFailed

if TYPE_CHECKING:
    from generation.script.outline import Outline
    from generation.script.script import Script
    from generation.script.source import Source


@dataclass(frozen=True)
class Usage:
    """What calls used: tokens of text in and out, characters spoken, and the cost in US dollars."""

    tokens_in: int = 0
    tokens_out: int = 0
    chars: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_json(self) -> dict[str, Any]:
        return {
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "chars": self.chars,
            "cost": str(self.cost),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Usage:
        return cls(
            tokens_in=data["tokens_in"],
            tokens_out=data["tokens_out"],
            chars=data["chars"],
            cost=Decimal(data["cost"]),
        )


class TextProvider(Protocol):
    """Makes the outline and the script. One instance may be used by several threads.

    A script is made portion by portion, so that each can be kept once it is paid for:
    `join(provider.script(portion, outline)[0] for portion in provider.portions(source))`.
    """

    name: str
    model: str
    # The most characters of a source (all passages together) that it takes.
    max_input_chars: int

    def outline(self, source: Source) -> tuple[Outline, Usage]:
        """Chapters and topics of `source`. Raises ProviderBusy, ProviderFailed."""

    def portions(self, source: Source) -> Sequence[Source]:
        """`source` cut, in its order and at parts at the latest, into what one call of
        `script` takes. The same source gives the same portions. Makes no call."""

    def script(self, source: Source, outline: Outline) -> tuple[Script, Usage]:
        """What is said, by whom, in the outline's chapters that `source` (a portion, or a
        whole one) has passages for: host alone for a solo episode, host and guest for a
        dialogue. `left_out` is the source's. Raises ProviderBusy, ProviderFailed."""

    def draft(self, source: Source) -> Script | None:
        """The very script that it will make, where finding out needs no call; else None."""

    def estimate(self, source: Source) -> Usage:
        """What outline and script will use, about, and `chars` of the script they will make.

        Makes no call.
        """


class SpeechProvider(Protocol):
    """Says one segment. One instance may be used by several threads."""

    name: str
    model: str
    mime_type: str
    # The most characters in one call, and the most calls at once, over all machines.
    max_chars: int
    max_parallel: int
    # speaker ("host", "guest") -> the voice it has unless another is asked for.
    voices: Mapping[str, str]

    def sound_parameters(self, voice: str, speed: float) -> dict[str, Any]:
        """Everything that shapes the sound besides the text: provider, model, voice, speed,
        format, bit rate, encoder's version. JSON-able: it is hashed as part of a cache key."""

    def say(self, text: str, *, voice: str, speed: float = 1.0) -> bytes:
        """The sound of `text`, a whole file of `mime_type`. Raises ProviderBusy, ProviderFailed."""

    def cost(self, chars: int) -> Decimal:
        """The price of `chars` characters in US dollars."""


@runtime_checkable
class Checked(Protocol):
    """A provider that can be misconfigured."""

    @classmethod
    def misconfigured(cls) -> list[str]:
        """What is wrong with its settings, each with the way out; makes no call."""


class ProviderBusy(Exception):
    """The provider can't answer now (429, 5xx, time-out, no connection): come again later.

    Says nothing against the request, so it uses up no attempt. `usage` is what was used
    before that: a failed call may have been paid for.
    """

    def __init__(
        self, reason: str, retry_after_seconds: float, *, usage: Usage | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage or Usage()


class ProviderFailed(WorkFailed):
    """The provider won't do this request, however often it is asked.

    `code` is one of: provider_refused, provider_length, provider_malformed, provider_key,
    provider_quota, provider_request, provider_input. The message is for the user, with the
    way out. `usage` is as in ProviderBusy.
    """

    code = "provider_failed"

    def __init__(self, code: str, message: str, *, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.usage = usage or Usage()
