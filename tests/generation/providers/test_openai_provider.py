from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest

from generation.providers.contract import ProviderBusy, ProviderFailed, Usage
from generation.providers.openai_provider import OpenAISpeech, OpenAIText
from generation.script.outline import Chapter, Outline
from generation.script.script import Turn
from generation.script.source import LeftOut
from tests.generation.openai_stub import (
    SOUND,
    Answer,
    Stub,
    close_client,
    completion,
    error,
    openai_stub,
)
from tests.generation.sources import make_source

SOURCE = make_source(
    ("One", [("Birds", ["They fly.", "They sleep."])]),
    ("Two", [("Fish", ["They swim."])]),
    type="dialogue",
    left_out=(LeftOut(9, "Empty."),),
)
OUTLINE = Outline("An episode", (Chapter(1, "One", ("Birds",)), Chapter(2, "Two", ("Fish",))))


@pytest.fixture
def stub(settings: Any) -> Iterator[Stub]:
    with openai_stub() as server:
        settings.OPENAI_BASE_URL = server.base_url
        settings.OPENAI_API_KEY = "key-of-the-test"
        settings.OPENAI_TEXT_MODEL = "text-model"
        settings.OPENAI_SPEECH_MODEL = "speech-model"
        settings.OPENAI_USD_PER_MILLION_TOKENS_IN = Decimal(2)
        settings.OPENAI_USD_PER_MILLION_TOKENS_OUT = Decimal(10)
        settings.OPENAI_USD_PER_MILLION_CHARS = Decimal(15)
        yield server
        close_client()


def say(text: str = "Hello.") -> bytes:
    return OpenAISpeech().say(text, voice="alloy", speed=1.25)


def test_outline_is_what_the_model_answered(stub: Stub) -> None:
    outline, usage = OpenAIText().outline(SOURCE)
    assert outline == Outline(
        "An episode",
        (Chapter(1, "About One", ("Birds",)), Chapter(2, "About Two", ("Fish",))),
    )
    assert usage == Usage(100, 20, cost=Decimal("0.0004"))
    [request] = stub.requests
    assert request["model"] == "text-model"
    assert request["response_format"]["json_schema"]["strict"] is True
    assert stub.keys == ["Bearer key-of-the-test"]


def test_script_is_asked_for_portion_by_portion(stub: Stub) -> None:
    script, usage = OpenAIText().script(SOURCE, OUTLINE)
    assert script.turns == (
        Turn("host", 0, "They fly."),
        Turn("guest", 0, "They sleep."),
        Turn("host", 1, "They swim."),
    )
    assert script.left_out == SOURCE.left_out
    assert usage == Usage(200, 40, cost=Decimal("0.0008"))
    asked = [json.loads(request["messages"][1]["content"])["chapter"] for request in stub.requests]
    assert asked == ["One", "Two"]


def test_script_of_a_solo_episode_offers_the_host_alone(stub: Stub) -> None:
    OpenAIText().script(make_source(("One", [("Birds", ["They fly."])])), OUTLINE)
    schema = stub.requests[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["turns"]["items"]["properties"]["speaker"]["enum"] == ["host"]


def test_portions_are_cut_at_parts_and_below_the_limit() -> None:
    long = "x" * 15_000
    source = make_source(("One", [("A", [long, "y" * 5_000, "z"])]), ("Two", [("B", ["w"])]))
    portions = OpenAIText().portions(source)
    assert [[len(each.text) for each in portion.passages] for portion in portions] == [
        [15_000, 5_000],
        [1],
        [1],
    ]


def test_text_too_long_for_the_model_fails_without_a_call(stub: Stub) -> None:
    long = make_source(("One", [("A", ["x" * 1_000_001])]))
    with pytest.raises(ProviderFailed, match="1,000,001 characters") as failed:
        OpenAIText().outline(long)
    assert failed.value.code == "provider_input"
    assert stub.requests == []


def test_estimate_is_near_what_is_used_and_makes_no_call(stub: Stub) -> None:
    text = "A sentence of forty characters, or about. " * 50
    source = make_source(("One", [("A", [text] * 4)]))
    estimate = OpenAIText().estimate(source)
    assert stub.requests == []
    # Told once for the outline and once for the script, about four characters a token.
    assert 2 * source.chars / 4 <= estimate.tokens_in <= 2 * source.chars / 4 + 1_000
    assert source.chars / 4 <= estimate.tokens_out <= source.chars / 4 + 1_000
    assert estimate.cost == Decimal(estimate.tokens_in * 2 + estimate.tokens_out * 10) / 1_000_000
    assert 0 < estimate.chars <= source.chars


def test_usage_that_is_not_reported_is_counted(stub: Stub) -> None:
    chapters = [{"part": each, "title": "T", "topics": []} for each in (1, 2)]
    content = json.dumps({"chapters": chapters})
    stub.answers.append(completion(content, usage=None))
    _, usage = OpenAIText().outline(SOURCE)
    assert usage.tokens_out == -(-len(content) // 4)
    assert usage.tokens_in > 50


def test_speech_is_the_bytes_of_the_answer(stub: Stub) -> None:
    assert say() == SOUND
    assert stub.requests == [
        {
            "model": "speech-model",
            "voice": "alloy",
            "input": "Hello.",
            "speed": 1.25,
            "response_format": "mp3",
        }
    ]


def test_speech_by_many_threads_answers_each(stub: Stub) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(say, [f"Number {n}." for n in range(40)])) == [SOUND] * 40
    assert len(stub.requests) == 40


def test_speech_costs_its_characters(stub: Stub) -> None:
    assert OpenAISpeech().cost(2_000) == Decimal("0.03")


def test_sound_parameters_tell_voices_speeds_models_and_servers_apart(
    stub: Stub, settings: Any
) -> None:
    found = [
        OpenAISpeech().sound_parameters("alloy", 1.0),
        OpenAISpeech().sound_parameters("nova", 1.0),
        OpenAISpeech().sound_parameters("alloy", 1.5),
    ]
    settings.OPENAI_SPEECH_MODEL = "another"
    found.append(OpenAISpeech().sound_parameters("alloy", 1.0))
    settings.OPENAI_BASE_URL = "http://elsewhere/v1"
    found.append(OpenAISpeech().sound_parameters("alloy", 1.0))
    assert len({json.dumps(each, sort_keys=True) for each in found}) == 5


@pytest.mark.parametrize("text", ["", "x" * 2_001])
def test_speech_of_a_text_outside_the_limit_fails_without_a_call(stub: Stub, text: str) -> None:
    with pytest.raises(ProviderFailed) as failed:
        say(text)
    assert failed.value.code == "provider_input"
    assert stub.requests == []


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (error(429, Retry_After="7"), 7),
        (error(429, Retry_After="0"), 1),
        (error(429, Retry_After="86400"), 3600),
        (error(429, Retry_After="soon"), 20),
        (error(429, Retry_After="nan"), 20),
        (error(429), 20),
        (error(500), 20),
        (error(503, Retry_After="90"), 90),
        (error(408), 20),
        (Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}), 20),
        (Answer(body=SOUND, cut_off=True), 20),
    ],
)
def test_busy_provider_is_asked_once_and_says_when_to_come_again(
    stub: Stub, answer: Answer, seconds: float
) -> None:
    stub.answers.append(answer)
    with pytest.raises(ProviderBusy) as busy:
        say()
    assert busy.value.retry_after_seconds == seconds
    assert busy.value.reason
    assert len(stub.requests) == 1


def test_busy_provider_may_say_a_date(stub: Stub) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    stub.answers.append(error(503, Retry_After=date))
    with pytest.raises(ProviderBusy) as busy:
        say()
    assert 1 < busy.value.retry_after_seconds <= 600


def test_provider_that_never_answers_is_busy(stub: Stub, settings: Any) -> None:
    settings.OPENAI_TIMEOUT_SECONDS = 0.2
    stub.answers.append(Answer(never=True))
    with pytest.raises(ProviderBusy, match=r"within 0\.2 seconds"):
        say()


def test_provider_that_is_not_there_is_busy(settings: Any) -> None:
    with openai_stub() as gone:
        settings.OPENAI_BASE_URL = gone.base_url
    with pytest.raises(ProviderBusy, match="can't be reached"):
        say()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error(401), "provider_key"),
        (error(403), "provider_key"),
        (error(429, code="insufficient_quota", Retry_After="5"), "provider_quota"),
        (error(404, code="model_not_found"), "provider_request"),
        (error(400), "provider_request"),
        (error(400, code="context_length_exceeded"), "provider_length"),
        (error(413), "provider_length"),
        (error(400, code="content_policy_violation"), "provider_refused"),
        (Answer(body=b""), "provider_malformed"),
        (Answer(body=b'{"ok": true}'), "provider_malformed"),
    ],
)
def test_speech_that_is_not_possible_fails_with_its_code(
    stub: Stub, answer: Answer, code: str
) -> None:
    stub.answers.append(answer)
    with pytest.raises(ProviderFailed) as failed:
        say()
    assert failed.value.code == code
    assert len(stub.requests) == 1


def turns(*found: Any) -> str:
    return json.dumps({"turns": list(found)})


RIGHT = {"speaker": "host", "text": "Words."}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (completion(None, refusal="I can't help with that."), "provider_refused"),
        (completion("", finish_reason="content_filter"), "provider_refused"),
        (completion('{"turns": [', finish_reason="length"), "provider_length"),
        (completion("Here is your script: ..."), "provider_malformed"),
        (completion(None), "provider_malformed"),
        (completion("[]"), "provider_malformed"),
        (completion("{}"), "provider_malformed"),
        (completion(turns()), "provider_malformed"),
        (completion(turns({"text": "Words."})), "provider_malformed"),
        (completion(turns({**RIGHT, "speaker": "narrator"})), "provider_malformed"),
        (completion(turns({**RIGHT, "text": " "})), "provider_malformed"),
        (completion(turns({**RIGHT, "text": 7})), "provider_malformed"),
        (Answer(body=b"<html>Hello</html>"), "provider_malformed"),
        (Answer(body=b'{"choices": []}'), "provider_malformed"),
        (Answer(body=b"null"), "provider_malformed"),
    ],
)
def test_script_that_is_not_usable_fails_with_its_code(
    stub: Stub, answer: Answer, code: str
) -> None:
    stub.answers.append(answer)
    with pytest.raises(ProviderFailed) as failed:
        OpenAIText().script(SOURCE, OUTLINE)
    assert failed.value.code == code
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "chapters",
    [
        [],
        [{"part": 1, "title": "T", "topics": []}],
        [{"part": 2, "title": "T", "topics": []}, {"part": 1, "title": "T", "topics": []}],
        [{"part": 1, "title": "", "topics": []}, {"part": 2, "title": "T", "topics": []}],
        [{"part": 1, "title": "T", "topics": None}, {"part": 2, "title": "T", "topics": []}],
        None,
    ],
)
def test_outline_that_does_not_cover_the_parts_fails(stub: Stub, chapters: Any) -> None:
    stub.answers.append(completion(json.dumps({"chapters": chapters})))
    with pytest.raises(ProviderFailed) as failed:
        OpenAIText().outline(SOURCE)
    assert failed.value.code == "provider_malformed"
    assert failed.value.usage == Usage(100, 20, cost=Decimal("0.0004"))


@pytest.mark.parametrize("answer", [error(429), error(401)])
def test_script_that_stops_halfway_says_what_was_used(stub: Stub, answer: Answer) -> None:
    stub.answers.extend([completion(turns(RIGHT)), answer])
    with pytest.raises((ProviderBusy, ProviderFailed)) as stopped:
        OpenAIText().script(SOURCE, OUTLINE)
    assert stopped.value.usage == Usage(100, 20, cost=Decimal("0.0004"))


def test_provider_that_is_only_chosen_does_not_import_the_sdk() -> None:
    code = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings.test'; "
        "django.setup(); from generation.providers import registry; registry.text_provider(); "
        "import sys; sys.exit('openai' in sys.modules)"
    )
    environment = {"GENERATION_TEXT_PROVIDER": "openai", "DATABASE_URL": "postgres://unused"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
