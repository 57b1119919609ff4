"""Whole generations by OpenAI's and Polly's protocols, against local servers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from generation.models import GenerationJob, GenerationMetrics
from tests.duplication.driving import run_to_end
from tests.generation import openai_stub, polly_stub
from tests.generation.making import generate, make_episode, start

pytestmark = pytest.mark.django_db


@pytest.fixture
def openai(settings: Any, tmp_path: Any) -> Iterator[openai_stub.Stub]:
    with openai_stub.openai_stub() as server:
        settings.MEDIA_ROOT = tmp_path
        settings.GENERATION_TEXT_PROVIDER = settings.GENERATION_SPEECH_PROVIDER = "openai"
        settings.OPENAI_BASE_URL = server.base_url
        settings.OPENAI_USD_PER_MILLION_TOKENS_IN = Decimal(2)
        settings.OPENAI_USD_PER_MILLION_TOKENS_OUT = Decimal(10)
        settings.OPENAI_USD_PER_MILLION_CHARS = Decimal(15)
        yield server
        openai_stub.close_client()


def go_on(generation: GenerationJob) -> list[str]:
    """As when a wait is over."""
    generation.jobs.update(not_before=None)
    return run_to_end(generation)


def test_openai_makes_outline_script_and_sound_and_what_it_charged_is_told(
    openai: openai_stub.Stub,
) -> None:
    generation = generate(make_episode("One.", "Two.", type="dialogue"))
    assert (generation.status, generation.error_message) == ("completed", "")
    said = [request["input"] for request in openai.requests if "input" in request]
    # Side by side, so in any order.
    assert sorted(said) == sorted(segment.text for segment in generation.segments.all())
    metrics = GenerationMetrics.objects.get()
    assert (metrics.tokens_in, metrics.tokens_out) == (300, 60)
    assert metrics.tts_chars_used == sum(map(len, said))
    assert metrics.estimated_cost == generation.cost
    text = Decimal(300 * 2 + 60 * 10) / 1_000_000
    assert generation.cost == text + Decimal(15 * metrics.tts_chars_used) / 1_000_000


def test_openai_that_is_busy_is_waited_for_as_long_as_it_says_then_gone_on_with(
    openai: openai_stub.Stub,
) -> None:
    openai.answers.append(openai_stub.error(429, "Slow down.", Retry_After="17"))
    generation = start(make_episode("One."))
    assert run_to_end(generation) == ["waiting"]
    assert "is at its rate limit" in generation.waiting_reason
    assert 15 < (generation.waiting_until - generation.updated_at).total_seconds() < 18
    assert generation.jobs.get().attempts == 0

    openai.answers.append(openai_stub.error(503, "Overloaded."))
    assert go_on(generation) == ["waiting"]
    assert go_on(generation)[-1] == "completed"
    assert generation.status == "completed"


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (openai_stub.completion(None, refusal="I can't help."), "provider_refused", "refused"),
        (openai_stub.completion("{}", finish_reason="length"), "provider_length", ""),
        (openai_stub.completion("no JSON"), "provider_malformed", "Retry"),
    ],
)
def test_openai_that_will_not_is_a_failure_with_the_way_out_and_paid_for(
    openai: openai_stub.Stub, answer: openai_stub.Answer, code: str, words: str
) -> None:
    episode = make_episode("One.")
    openai.answers.append(answer)
    generation = generate(episode)
    assert (generation.status, generation.error_code) == ("failed", code)
    assert words in generation.error_message
    assert generation.usage["outline"]["tokens_in"] == 100
    episode.refresh_from_db()
    assert (episode.generation_status, episode.generation_error) == (
        "FAILED",
        generation.error_message,
    )


def test_polly_says_what_the_offline_provider_wrote(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path
    settings.GENERATION_SPEECH_PROVIDER = "polly"
    with polly_stub.polly_stub() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        server.answers.append(polly_stub.error(400, "ThrottlingException", "Rate exceeded"))
        generation = start(make_episode("One.", "Two."))
        outcomes = run_to_end(generation)
        while outcomes[-1] == "waiting":
            outcomes = go_on(generation)
    assert (generation.status, generation.error_message) == ("completed", "")
    assert len(server.requests) == generation.segments.count() + 1
    assert generation.cost == Decimal(settings.POLLY_USD_PER_MILLION_CHARS) * (
        generation.chars_paid
    ) / Decimal(1_000_000)
