"""Generations with real workers: killed under them, and several that need the same sounds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.files.storage import default_storage

from generation.models import AudioCache, GenerationJob
from generation.services import start_generation
from operations.models import Event
from tests.generation import stub_speech
from tests.generation.making import make_episode
from tests.generation.stub_speech import calls
from tests.processes import start_process, wait_until

__all__ = ["start_process"]

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

# Short leases, so that a dead worker is found out within the test's patience.
ENVIRONMENT = {
    "GENERATION_SPEECH_PROVIDER": stub_speech.PATH,
    "OPERATION_LEASE_SECONDS": "2",
    "OPERATION_TIME_BUDGET_SECONDS": "2",
    "OPERATION_THROTTLE_EXCEPTIONS": "1000",
    "LOAD_MAX_SLOWDOWN": "0",
}
SENTENCES = 60


@pytest.fixture
def start_workers(start_process: Any, tmp_path: Path, settings: Any) -> Any:
    settings.GENERATION_SPEECH_PROVIDER = stub_speech.PATH
    settings.MEDIA_ROOT = tmp_path / "media"

    def start(workers: int, **stub: Any) -> Any:
        options = {f"STUB_SPEECH_{name}": str(value) for name, value in stub.items()}
        return start_process(
            "run_workers",
            f"--workers={workers}",
            environment={
                **ENVIRONMENT,
                **options,
                "MEDIA_ROOT": str(settings.MEDIA_ROOT),
                "STUB_SPEECH_LOG": str(tmp_path / "calls.jsonl"),
            },
        )

    return start


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def start(**fields: Any) -> GenerationJob:
    texts = [f"This is sentence number {number}." for number in range(SENTENCES)]
    episode = make_episode(*texts, **fields)
    return start_generation(episode_id=episode.pk, requested_by=None).generation


def has_ended(generation: GenerationJob) -> bool:
    generation.refresh_from_db()
    return not generation.is_active


def kept(text: str) -> bool:
    """Whether a sound's file was in storage."""
    return any(Path(default_storage.location).glob(f"generation/sounds/*/{text}/*.mp3"))


def assert_whole(generation: GenerationJob) -> None:
    assert generation.status == "completed", generation.error_message
    said = generation.segments.all()
    assert {each.state for each in said} <= {"made", "cached"}
    paid = sum(len(each.text) for each in said if each.state == "made")
    cached = sum(len(each.text) for each in said if each.state == "cached")
    assert (generation.chars_paid, generation.chars_cached) == (paid, cached)
    assert generation.audio_checksum
    assert default_storage.size(generation.audio_name) == generation.audio_bytes
    numbers = Event.objects.filter(kind="generation", operation_id=str(generation.pk)).values_list(
        "sequence", flat=True
    )
    assert list(numbers) == list(range(1, len(numbers) + 1))


def test_generation_whose_workers_are_killed_goes_on_and_pays_for_no_kept_sound_again(
    start_workers: Any, log: Path
) -> None:
    workers = start_workers(2, DELAY_SECONDS=0.2, MAX_PARALLEL=4)
    generation = start()
    # How often each had been said when it was kept.
    kept_at_a_kill: dict[str, int] = {}
    for said in (10, 45):
        wait_until(lambda said=said: len(calls(log)) >= said, f"{said} segments are said")
        for process in psutil.Process(workers.pid).children(recursive=True):
            process.kill()
        segments = generation.segments.values_list("text", "cache_key")
        found = [text for text, key in segments if kept(key)]
        said_by_then = Counter(calls(log))
        kept_at_a_kill = {text: said_by_then[text] for text in found} | kept_at_a_kill
    wait_until(lambda: has_ended(generation), "the generation ends", deadline_seconds=90)

    assert_whole(generation)
    times = Counter(calls(log))
    assert set(times) == set(generation.segments.values_list("text", flat=True))
    assert len(kept_at_a_kill) >= 20
    # One that was being said when its worker died wasn't kept then, and is said once more.
    assert {text: times[text] for text in kept_at_a_kill} == kept_at_a_kill
    # What was being said at a kill is said again, and no more than that.
    assert sum(times.values()) <= len(times) + 2 * 4


def test_generations_of_the_same_words_at_once_have_each_sound_made_once(
    start_workers: Any, log: Path
) -> None:
    generations = [start() for _ in range(3)]
    start_workers(3, DELAY_SECONDS=0.05, MAX_PARALLEL=4)
    for generation in generations:
        wait_until(lambda each=generation: has_ended(each), "the generation ends")
        assert_whole(generation)
    assert set(Counter(calls(log)).values()) == {1}
    assert sum(each.chars_paid for each in generations) == sum(map(len, calls(log)))


def test_many_generations_with_a_provider_that_is_often_busy_all_end(
    start_workers: Any, log: Path
) -> None:
    generations = []
    for number in range(6):
        words = [f"Episode {number} says sentence {n}." for n in range(8)]
        episode = make_episode(*words)
        generations.append(start_generation(episode_id=episode.pk, requested_by=None).generation)
    start_workers(2, BUSY_SHARE=0.1, ERROR_SHARE=0.05, RETRY_SECONDS=0.2, MAX_PARALLEL=2)
    for generation in generations:
        wait_until(lambda each=generation: has_ended(each), "it ends", deadline_seconds=120)
        assert_whole(generation)
    assert set(Counter(calls(log)).values()) == {1}
    assert not AudioCache.objects.exclude(state="ready").exists()
