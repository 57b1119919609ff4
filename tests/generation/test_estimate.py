"""What is expected of a generation before it is started."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from generation.estimate import Estimate, estimate
from generation.exceptions import CannotGenerate
from generation.kind import GENERATION
from generation.models import AudioCache, GenerationMetrics
from generation.services import start_generation
from generation.sounds.keys import cache_key
from operations import control
from tests.factories.content import BlockFactory
from tests.generation.making import make_episode, write
from tests.generation.stub_speech import USD_PER_CHAR, StubSpeech

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]


def keep(text: str, *, state: str = "ready", voice: str = "alto") -> None:
    """Have this said by the host in the cache."""
    key = cache_key(StubSpeech(), text, voice, 1.0)
    AudioCache.objects.create(cache_key=key, state=state, audio_name="x.mp3", checksum="x")


def test_unwritten_script_is_estimated_by_its_provider() -> None:
    found = estimate(make_episode("One."))
    assert (found.tokens_in, found.chars, found.cached_chars) == (4, 11, 0)
    assert found.cost == Decimal("0.05") + 11 * USD_PER_CHAR
    assert found.seconds is None


def test_offline_script_is_known_to_the_letter_and_so_is_what_of_it_is_kept(settings: Any) -> None:
    settings.GENERATION_TEXT_PROVIDER = "offline"
    keep("One.")
    keep("Part 1.", state="making")
    keep("Two.", voice="another")
    found = estimate(make_episode("One.", "Two."))
    assert (found.chars, found.cached_chars) == (22, 4)
    assert found.cost == 18 * USD_PER_CHAR


def test_what_is_said_twice_is_made_once(settings: Any) -> None:
    settings.GENERATION_TEXT_PROVIDER = "offline"
    found = estimate(make_episode("Same.", "Same."))
    assert (found.chars, found.cached_chars) == (24, 5)


def test_script_that_is_there_costs_nothing_again() -> None:
    episode = make_episode("One.")
    control.request_cancel(GENERATION, write(episode))
    assert estimate(episode).cost == 11 * USD_PER_CHAR
    assert estimate(episode, from_stage="audio").cost == 11 * USD_PER_CHAR
    assert estimate(episode, from_stage="script").cost > Decimal("0.05")


def test_expected_time_is_that_of_the_last_generations() -> None:
    episode = make_episode("One.")
    for outcome, chars, seconds in (
        ("completed", 100, 50.0),
        ("completed", 300, 50.0),
        ("failed", 1, 9999.0),
        ("completed", 0, 9999.0),
    ):
        GenerationMetrics.objects.create(
            episode=episode,
            type="solo",
            outcome=outcome,
            text_provider="stub",
            speech_provider="stub",
            tts_chars_used=chars,
            actual_duration=seconds,
        )
    assert estimate(episode).seconds == round(11 / 4, 1)


def test_blocks_that_are_left_out_are_told() -> None:
    episode = make_episode("One.")
    silent = BlockFactory(item__part__episode=episode, field_1="survey", field_2="How was it?")
    (left_out,) = estimate(episode).left_out
    assert left_out.block_id == silent.pk


def test_words_too_many_for_the_provider_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.generation.stub_text.StubText.max_input_chars", 3)
    with pytest.raises(CannotGenerate, match="has 4 characters; stub takes 3"):
        estimate(make_episode("One."))


def test_estimate_is_kept_with_the_generation() -> None:
    episode = make_episode("One.")
    generation = start_generation(episode_id=episode.pk, requested_by=None).generation
    generation.refresh_from_db()
    kept = Estimate.from_json(generation.estimate)
    assert kept == estimate(episode)
    assert generation.estimated_cost == kept.cost
