"""Segments and their sounds: what is made, what comes from the cache, what is paid."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError
from django.db.models import Sum
from django.utils import timezone

from duplication.services import start_duplication
from generation.models import AudioCache, GenerationJob
from generation.providers.contract import ProviderBusy, Usage
from generation.services import edit_script
from generation.sounds import making
from generation.stages import audio
from operations import verbs
from tests.duplication.driving import run_to_end
from tests.generation.making import generate, make_episode, start, write
from tests.generation.stub_speech import MALFORMED, REFUSED, StubSpeech, calls

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]

TEXTS = ("One is the first.", "Two is the second.", "Three comes last.")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "calls.jsonl"
    monkeypatch.setenv("STUB_SPEECH_LOG", str(path))
    return path


@pytest.fixture
def on_call(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`on_call(function)`: it is called with each text that is to be said, and may raise."""
    return lambda function: monkeypatch.setattr(StubSpeech, "on_call", staticmethod(function))


def chars(generation: GenerationJob, **conditions: Any) -> int:
    texts = generation.segments.filter(**conditions).values_list("text", flat=True)
    return sum(map(len, texts))


def texts(generation: GenerationJob) -> set[str]:
    return set(generation.segments.values_list("text", flat=True))


def assert_completed(generation: GenerationJob) -> None:
    """And what it says it paid is what its segments say."""
    assert generation.status == "completed", generation.error_message
    assert generation.chars_paid == chars(generation, state="made")
    assert generation.chars_cached == chars(generation, state="cached")
    spent = generation.segments.aggregate(cost=Sum("cost"))["cost"]
    assert Decimal(generation.usage.get("audio", {"cost": "0"})["cost"]) == spent


def proceed(generation: GenerationJob) -> None:
    """Go on after a wait, as if its time had come."""
    generation.jobs.update(not_before=None)
    run_to_end(generation)


def test_generation_says_each_segment_and_pays_for_it_once(log: Path) -> None:
    generation = generate(make_episode(*TEXTS, type="dialogue"))
    assert_completed(generation)
    assert Counter(calls(log)) == Counter(texts(generation))
    segments = list(generation.segments.all())
    assert {each.voice for each in segments} == {"alto", "bass"}
    entry = generation.progress["audio"]
    assert (entry["done"], entry["total"]) == (len(segments), len(segments))
    sounds = AudioCache.objects.filter(cache_key__in=[each.cache_key for each in segments])
    for sound in sounds:
        assert sound.state == "ready"
        assert sound.audio_name.endswith(f"/{sound.cache_key}/{sound.checksum}.mp3")
        assert default_storage.size(sound.audio_name) == sound.audio_bytes
        assert sound.parameters["provider"] == "stub"


def test_copy_of_an_episode_pays_for_nothing(log: Path) -> None:
    episode = make_episode(*TEXTS)
    generate(episode)
    said = calls(log)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_to_end(duplication)

    generation = generate(duplication.new_episode)
    assert_completed(generation)
    assert generation.chars_paid == generation.cost == 0
    assert generation.chars_cached == chars(generation) > 0
    assert calls(log) == said
    assert set(AudioCache.objects.values_list("usage_count", flat=True)) == {2}


def test_same_text_twice_in_an_episode_is_made_once(log: Path) -> None:
    generation = write(make_episode("One."))
    turn = {"speaker": "host", "chapter": 0, "text": "The same again and again."}
    edit_script(generation, {"turns": [turn] * 40}, version=0, by=None)
    verbs.apply("resume", generation, by=None)
    run_to_end(generation)
    assert_completed(generation)
    assert calls(log) == ["The same again and again."]
    assert generation.segments.filter(state="cached").count() == 39
    assert AudioCache.objects.get().usage_count == 40


def test_edited_script_pays_only_for_what_changed(log: Path) -> None:
    episode = make_episode(*TEXTS)
    first = generate(episode)
    said = len(calls(log))
    data = first.script
    data["turns"][0]["text"] = "Something else instead."
    edit_script(first, {"turns": data["turns"]}, version=0, by=None)

    generation = generate(episode, from_stage="audio")
    assert_completed(generation)
    assert calls(log)[said:] == ["Something else instead."]
    assert generation.chars_paid == len("Something else instead.")


def test_another_voice_makes_new_sounds_of_the_same_script(log: Path) -> None:
    episode = make_episode(*TEXTS)
    first = generate(episode)
    generation = generate(episode, from_stage="audio", voices={"host": "tenor"})
    assert_completed(generation)
    assert generation.script == first.script
    assert generation.chars_cached == 0
    assert generation.audio_checksum != first.audio_checksum


def test_busy_provider_is_waited_for_with_its_reason_and_what_was_said_is_kept(
    log: Path, on_call: Any
) -> None:
    busy = [ProviderBusy("Come again later.", 7, usage=Usage(cost=Decimal("0.5")))]

    def answer(text: str) -> None:
        if text.startswith("Two") and busy:
            raise busy.pop()

    on_call(answer)
    generation = start(make_episode(*TEXTS))
    run_to_end(generation)
    assert generation.waiting_reason == "Come again later."
    job = generation.jobs.get(stage="audio")
    assert 5 < (job.not_before - timezone.now()).total_seconds() <= 7
    assert job.attempts == 0
    assert generation.usage["audio"]["cost"].startswith("0.5")
    kept = generation.segments.filter(state="made").count()

    on_call(None)
    proceed(generation)
    assert generation.status == "completed", generation.error_message
    assert max(Counter(calls(log)).values()) == 1
    assert generation.segments.exclude(state="made").count() == 0
    assert len(calls(log)) == generation.segments.count() > kept
    assert generation.chars_paid == chars(generation)


@pytest.mark.parametrize(
    ("words", "code"), [(REFUSED, "provider_refused"), (MALFORMED, "provider_malformed")]
)
def test_refused_segment_fails_by_number_and_retry_pays_for_no_other_again(
    log: Path, words: str, code: str
) -> None:
    generation = generate(make_episode(TEXTS[0], f"This is {words}.", TEXTS[2]))
    assert generation.status == "failed"
    assert generation.error_code == code
    wrong = generation.segments.get(text__contains=words)
    assert generation.error_message.startswith(f"Segment {wrong.number} (“{wrong.text[:20]}")
    # A sound that isn't one was answered, and is paid for.
    paid = chars(generation, state="made") + (len(wrong.text) if words == MALFORMED else 0)
    assert generation.chars_paid == paid

    turns = generation.script["turns"]
    for turn in turns:
        turn["text"] = turn["text"].replace(words, "good")
    edit_script(generation, {"turns": turns}, version=0, by=None)
    verbs.apply("retry", generation, by=None)
    run_to_end(generation)
    assert generation.status == "completed", generation.error_message
    assert max(Counter(calls(log)).values()) == 1
    assert generation.segments.count() == len(texts(generation))


def test_error_of_our_own_in_a_call_surfaces_as_itself(on_call: Any) -> None:
    def answer(text: str) -> None:
        raise ZeroDivisionError("a bug")

    on_call(answer)
    generation = generate(make_episode(*TEXTS))
    assert (generation.status, generation.error_code) == ("failed", "ZeroDivisionError")
    # Nobody else has to wait for what this one claimed.
    assert not AudioCache.objects.filter(making_until__gt=timezone.now()).exists()


def test_commit_that_is_rolled_back_loses_no_sound_and_counts_it_once(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deadlock(Exception):
        sqlstate = "40P01"

    write_segments = making._write_segments
    broken: list[str] = []

    def breaking(hits: Any) -> None:
        write_segments(hits)
        if not broken:
            broken.append("once")
            raise OperationalError from Deadlock()

    monkeypatch.setattr(making, "_write_segments", breaking)
    generation = generate(make_episode(*TEXTS))
    assert broken
    assert_completed(generation)
    assert Counter(calls(log)) == Counter(texts(generation))


def test_worker_that_dies_behind_its_calls_is_followed_by_one_that_finds_the_files(
    log: Path,
) -> None:
    generation = write(make_episode(*TEXTS))
    verbs.apply("resume", generation, by=None)
    stage = audio.MakeAudio()
    stage.make(generation, None).write()
    stage.make(generation, audio.HAS_SEGMENTS)  # says all, and dies before it commits
    stage.close()
    said = calls(log)
    assert len(said) == generation.segments.count()
    half = next(Path(default_storage.location).glob("generation/sounds/*/*/*.mp3"))
    half.write_bytes(half.read_bytes()[:100])

    run_to_end(generation)
    assert_completed(generation)
    assert len(calls(log)) == len(said) + 1  # that of which half was there
    assert generation.chars_cached == 0


def test_claim_of_a_generation_that_lives_is_waited_for(log: Path) -> None:
    other = write(make_episode(*TEXTS))
    generation = write(make_episode(*TEXTS))
    for each in (other, generation):
        audio.MakeAudio().make(each, None).write()
    key = generation.segments.first().cache_key
    AudioCache.objects.create(
        cache_key=key, maker=other, making_until=timezone.now() + dt.timedelta(seconds=50)
    )
    generation.jobs.update(cursor=None)
    verbs.apply("resume", generation, by=None)
    run_to_end(generation)
    assert "another generation" in generation.waiting_reason
    assert generation.segments.filter(state="pending").count() == 1

    AudioCache.objects.filter(cache_key=key).update(making_until=timezone.now())
    proceed(generation)
    assert_completed(generation)


def test_places_of_the_provider_that_others_hold_are_waited_for(
    log: Path, monkeypatch: pytest.MonkeyPatch, other_session: Any
) -> None:
    from generation.sounds.places import Places

    monkeypatch.setenv("STUB_SPEECH_MAX_PARALLEL", "2")
    space = Places(StubSpeech())._locks._space
    other_session.execute("SELECT pg_advisory_lock(%s, n) FROM unnest('{0,1}'::int[]) n", [space])
    generation = start(make_episode(*TEXTS))
    run_to_end(generation)
    assert generation.waiting_reason == "All 2 places at stub are taken by other generations."
    assert calls(log) == []

    other_session.execute("SELECT pg_advisory_unlock(%s, 1)", [space])
    proceed(generation)
    assert_completed(generation)
    other_session.execute("SELECT pg_try_advisory_lock(%s, 1)", [space])
    assert other_session.fetchone() == (True,)  # given back


def test_no_more_calls_run_at_once_than_the_provider_takes(
    monkeypatch: pytest.MonkeyPatch, on_call: Any
) -> None:
    monkeypatch.setenv("STUB_SPEECH_MAX_PARALLEL", "3")
    lock = threading.Lock()
    running, most = set(), []
    all_there = threading.Barrier(3, timeout=10)

    def answer(text: str) -> None:
        with lock:
            running.add(text)
            most.append(len(running))
            is_first = len(most) <= 3
        if is_first:
            all_there.wait()  # that many do run at once
        with lock:
            running.remove(text)

    on_call(answer)
    generation = generate(make_episode(*[f"This is number {n}." for n in range(12)]))
    assert generation.status == "completed", generation.error_message
    assert max(most) == 3
