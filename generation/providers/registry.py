"""Which provider makes the text and which the speech, by setting.

A setting is a short name from the tables below, or the dotted path of a class of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from generation.providers.contract import Checked, SpeechProvider, TextProvider

TEXT_PROVIDERS: Mapping[str, str] = {
    "offline": "generation.providers.offline_text.OfflineText",
    "openai": "generation.providers.openai_provider.OpenAIText",
}
SPEECH_PROVIDERS: Mapping[str, str] = {
    "offline": "generation.providers.offline_speech.OfflineSpeech",
    "openai": "generation.providers.openai_provider.OpenAISpeech",
    "polly": "generation.providers.polly.PollySpeech",
}


def text_provider() -> TextProvider:
    """The one of GENERATION_TEXT_PROVIDER. Raises ImportError where it isn't there."""
    return cast(TextProvider, _found(settings.GENERATION_TEXT_PROVIDER, TEXT_PROVIDERS)())


def speech_provider() -> SpeechProvider:
    """The one of GENERATION_SPEECH_PROVIDER. Raises ImportError where it isn't there."""
    return cast(SpeechProvider, _found(settings.GENERATION_SPEECH_PROVIDER, SPEECH_PROVIDERS)())


def check(**kwargs: Any) -> list[CheckMessage]:
    """A system check: what is wrong with either provider's settings. Makes no call."""
    return [
        *_check("GENERATION_TEXT_PROVIDER", TEXT_PROVIDERS, TextProvider),
        *_check("GENERATION_SPEECH_PROVIDER", SPEECH_PROVIDERS, SpeechProvider),
    ]


def _found(name: str, known: Mapping[str, str]) -> type:
    found = import_string(known.get(name, name))
    if not isinstance(found, type):
        raise ImportError("it is no class")
    return found


def _check(setting: str, known: Mapping[str, str], protocol: type) -> list[CheckMessage]:
    name = getattr(settings, setting)
    try:
        provider = _found(name, known)
    except ImportError as error:
        return [
            Error(
                f"{setting} is “{name}”, which can't be imported: {error}",
                hint=f"Set it to one of {', '.join(known)}, or to the dotted path of a class.",
                id="generation.E001",
            )
        ]
    wrong = provider.misconfigured() if issubclass(provider, Checked) else []
    if wrong:
        return [Error(f"{setting} is “{name}”: {each}", id="generation.E002") for each in wrong]
    # What is set from settings is there once it is made.
    made = provider()
    missing = [member for member in _members(protocol) if not hasattr(made, member)]
    if missing:
        return [
            Error(
                f"{setting} is “{name}”, which has no {', '.join(missing)}.",
                hint=f"Give the class all that {protocol.__name__} asks for.",
                id="generation.E003",
            )
        ]
    return []


def _members(protocol: type) -> list[str]:
    return sorted(
        {*protocol.__annotations__, *(name for name in vars(protocol) if not name.startswith("_"))}
    )
