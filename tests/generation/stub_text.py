"""A text provider for tests: writes what the offline one does, for money, and fails as told."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

from generation.providers.contract import Usage
from generation.providers.offline_text import OfflineText
from generation.script.outline import Outline
from generation.script.script import Script
from generation.script.source import Source

PATH = "tests.generation.stub_text.StubText"
OUTLINE_USAGE = Usage(tokens_in=100, tokens_out=10, cost=Decimal("0.01"))
SCRIPT_USAGE = Usage(tokens_in=50, tokens_out=40, cost=Decimal("0.02"))


class StubText(OfflineText):
    """`calls` names each call that was begun; `on_call` is called with its name and may raise."""

    name = "stub"
    model = "parrot"
    calls: ClassVar[list[str]] = []
    on_call: ClassVar[Callable[[str], Any] | None] = None

    def outline(self, source: Source) -> tuple[Outline, Usage]:
        self._call("outline")
        return super().outline(source)[0], OUTLINE_USAGE

    def script(self, source: Source, outline: Outline) -> tuple[Script, Usage]:
        self._call(f"script of {source.passages[0].part_title}")
        return super().script(source, outline)[0], SCRIPT_USAGE

    def draft(self, source: Source) -> None:
        return None

    def estimate(self, source: Source) -> Usage:
        chars = OfflineText().estimate(source).chars
        return Usage(tokens_in=source.chars, tokens_out=chars, chars=chars, cost=Decimal("0.05"))

    def _call(self, name: str) -> None:
        StubText.calls.append(name)
        if StubText.on_call:
            StubText.on_call(name)
