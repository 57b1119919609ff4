from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from generation.providers import polly
from generation.providers.contract import ProviderBusy, ProviderFailed
from generation.providers.polly import PollySpeech
from tests.generation.audio.sounds import tone
from tests.generation.polly_stub import Answer, Stub, error, polly_stub


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with polly_stub() as stub:
        monkeypatch.setenv("AWS_ENDPOINT_URL", stub.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield stub


def say(text: str = "The heart.", **options) -> bytes:
    return PollySpeech().say(text, **{"voice": "Joanna", **options})


def test_say_gives_the_sound_polly_sent(stub: Stub) -> None:
    assert say("Salz & Pfeffer <b>") == stub.sound
    assert stub.requests == [
        {
            "Engine": "neural",
            "OutputFormat": "mp3",
            "SampleRate": "24000",
            "Text": "Salz & Pfeffer <b>",
            "TextType": "text",
            "VoiceId": "Joanna",
        }
    ]


def test_say_at_another_speed_asks_for_it_in_markup(stub: Stub) -> None:
    say("Salz & Pfeffer <b>", speed=1.25)
    (request,) = stub.requests
    assert request["TextType"] == "ssml"
    assert request["Text"] == (
        '<speak><prosody rate="125%">Salz &amp; Pfeffer &lt;b&gt;</prosody></speak>'
    )


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (error(400, "ThrottlingException", "Rate exceeded"), polly.RETRY_AFTER_SECONDS),
        (error(429, "TooManyRequestsException"), polly.RETRY_AFTER_SECONDS),
        (error(503, "ServiceUnavailableException", Retry_After="17"), 17),
        (error(500, "ServiceFailureException"), polly.RETRY_AFTER_SECONDS),
        (Answer(502, b"<html>Bad gateway</html>"), polly.RETRY_AFTER_SECONDS),
    ],
)
def test_say_while_polly_is_busy_says_when_to_come_again_and_asks_once(
    stub: Stub, answer: Answer, seconds: float
) -> None:
    stub.answers.append(answer)
    with pytest.raises(ProviderBusy, match="Amazon Polly is busy") as busy:
        say()
    assert busy.value.retry_after_seconds == seconds
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "answer", [Answer(hang_up=True), Answer(body=tone(), cut_off=True), Answer(never=True)]
)
def test_say_over_a_broken_connection_is_to_be_tried_again(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(polly, "READ_TIMEOUT_SECONDS", 1)
    stub.answers.append(answer)
    with pytest.raises(ProviderBusy, match="can't be reached"):
        say()
    assert len(stub.requests) == 1


def test_say_where_nobody_listens_is_to_be_tried_again(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ProviderBusy, match="can't be reached"):
        say()


@pytest.mark.parametrize(
    ("answer", "code", "way_out"),
    [
        (error(403, "UnrecognizedClientException"), "provider_key", "AWS_ACCESS_KEY_ID"),
        (error(400, "AccessDeniedException"), "provider_key", "polly:SynthesizeSpeech"),
        (error(400, "TextLengthExceededException"), "provider_length", "Shorten"),
        (error(400, "EngineNotSupportedException"), "provider_request", "POLLY_ENGINE"),
        (error(400, "ValidationException", "Voice!"), "provider_request", "Voice!"),
        (Answer(body=bytes(8)), "provider_malformed", "8 bytes that are no MP3"),
        (Answer(body=b""), "provider_malformed", "0 bytes that are no MP3"),
        (Answer(body=tone()[:-9]), "provider_malformed", "in the middle of a frame"),
    ],
)
def test_say_refused_is_a_failure_with_the_way_out(
    stub: Stub, answer: Answer, code: str, way_out: str
) -> None:
    stub.answers.append(answer)
    with pytest.raises(ProviderFailed, match=way_out) as failed:
        say()
    assert failed.value.code == code


def test_say_of_what_polly_cuts_off_is_a_failure(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polly, "LONGEST_MS", 4_000)
    say()
    stub.sound = tone(seconds=3.5)
    with pytest.raises(ProviderFailed, match="cuts sound off") as failed:
        say()
    assert failed.value.code == "provider_length"


def test_say_without_credentials_is_a_failure_with_the_way_out(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(ProviderFailed, match="AWS_ACCESS_KEY_ID") as failed:
        say()
    assert failed.value.code == "provider_key"


@pytest.mark.parametrize("speed", [0.1, 2.5])
def test_say_at_an_impossible_speed_asks_nobody(stub: Stub, speed: float) -> None:
    with pytest.raises(ProviderFailed, match=r"from 0\.2 to 2"):
        say(speed=speed)
    assert stub.requests == []


def test_sound_parameters_tell_voices_speeds_and_engines_apart(settings) -> None:
    provider = PollySpeech()
    parameters = [provider.sound_parameters("Joanna", 1.0), provider.sound_parameters("Amy", 1.0)]
    parameters.append(provider.sound_parameters("Joanna", 1.5))
    settings.POLLY_ENGINE = "standard"
    parameters.append(PollySpeech().sound_parameters("Joanna", 1.0))
    assert len({json.dumps(each, sort_keys=True) for each in parameters}) == 4


def test_cost_is_the_price_of_the_characters(settings) -> None:
    settings.POLLY_USD_PER_MILLION_CHARS = Decimal("16.5")
    assert PollySpeech().cost(2_000) == Decimal("0.033")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLLY_ENGINE", "steam"),
        ("POLLY_MAX_PARALLEL", 0),
        ("POLLY_USD_PER_MILLION_CHARS", Decimal(-1)),
    ],
)
def test_misconfigured_names_the_setting(settings, name: str, value: object) -> None:
    assert PollySpeech.misconfigured() == []
    setattr(settings, name, value)
    (wrong,) = PollySpeech.misconfigured()
    assert name in wrong
