from __future__ import annotations

from typing import Any

import pytest

from generation.providers import registry
from generation.providers.offline_text import OfflineText
from generation.providers.openai_provider import OpenAISpeech, OpenAIText

HERE = "tests.generation.providers.test_registry"


class OwnText(OfflineText):
    name = "own"


class Unfinished:
    name = "unfinished"


class NeedsKey(OfflineText):
    @classmethod
    def misconfigured(cls) -> list[str]:
        return ["OWN_KEY is empty. Set it.", "OWN_MODEL is empty. Set it."]


def problems(settings: Any, **values: Any) -> list[tuple[str | None, str]]:
    for name, value in values.items():
        setattr(settings, name, value)
    return [(found.id, found.msg) for found in registry.check()]


def test_provider_of_a_short_name_is_made(settings: Any) -> None:
    settings.GENERATION_TEXT_PROVIDER = "openai"
    settings.GENERATION_SPEECH_PROVIDER = "openai"
    assert isinstance(registry.text_provider(), OpenAIText)
    assert isinstance(registry.speech_provider(), OpenAISpeech)


def test_provider_of_a_dotted_path_is_made(settings: Any) -> None:
    settings.GENERATION_TEXT_PROVIDER = f"{HERE}.OwnText"
    assert registry.text_provider().name == "own"
    assert problems(settings, GENERATION_SPEECH_PROVIDER="openai", OPENAI_API_KEY="k") == []


@pytest.mark.parametrize("setting", ["GENERATION_TEXT_PROVIDER", "GENERATION_SPEECH_PROVIDER"])
@pytest.mark.parametrize(
    "name", ["nobody", "no.such.Provider", f"{HERE}.Missing", f"{HERE}.problems", ""]
)
def test_check_names_a_provider_that_is_not_there(settings: Any, setting: str, name: str) -> None:
    values = {
        "GENERATION_TEXT_PROVIDER": "offline",
        "GENERATION_SPEECH_PROVIDER": "openai",
        "OPENAI_API_KEY": "k",
        setting: name,
    }
    [(code, message)] = problems(settings, **values)
    assert code == "generation.E001"
    assert message.startswith(f"{setting} is “{name}”")


def test_check_of_an_unfinished_provider_lists_its_missing_members(settings: Any) -> None:
    [(code, message)] = problems(
        settings,
        GENERATION_TEXT_PROVIDER=f"{HERE}.Unfinished",
        GENERATION_SPEECH_PROVIDER="openai",
        OPENAI_API_KEY="k",
    )
    assert code == "generation.E003"
    assert "has no draft, estimate, max_input_chars, model, outline, portions, script." in message


def test_check_names_each_setting_that_is_wrong(settings: Any) -> None:
    assert problems(
        settings,
        GENERATION_TEXT_PROVIDER=f"{HERE}.NeedsKey",
        GENERATION_SPEECH_PROVIDER="openai",
        OPENAI_API_KEY="k",
    ) == [
        ("generation.E002", f"GENERATION_TEXT_PROVIDER is “{HERE}.NeedsKey”: {each}")
        for each in NeedsKey.misconfigured()
    ]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"OPENAI_API_KEY": ""}, "OPENAI_API_KEY"),
        ({"OPENAI_BASE_URL": "localhost:8000"}, "OPENAI_BASE_URL"),
        ({"OPENAI_SPEECH_MODEL": ""}, "OPENAI_SPEECH_MODEL"),
        ({"OPENAI_MAX_PARALLEL": 0}, "OPENAI_MAX_PARALLEL"),
    ],
)
def test_check_names_what_is_wrong_with_openai(
    settings: Any, values: dict[str, Any], named: str
) -> None:
    defaults = {"GENERATION_SPEECH_PROVIDER": "openai", "OPENAI_API_KEY": "k", **values}
    [(code, message)] = problems(settings, **defaults)
    assert code == "generation.E002"
    assert named in message


def test_check_of_a_server_of_ones_own_asks_for_no_key(settings: Any) -> None:
    assert (
        problems(
            settings,
            GENERATION_TEXT_PROVIDER="openai",
            GENERATION_SPEECH_PROVIDER="openai",
            OPENAI_BASE_URL="http://localhost:8000/v1",
        )
        == []
    )
