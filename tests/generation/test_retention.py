from __future__ import annotations

import datetime as dt
import hashlib
import os
import threading
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone

from content.models import Episode
from generation import audio_names, files
from generation import retention as policies
from generation.models import AudioCache, GenerationJob, GenerationSegment
from operations import retention
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import EpisodeFactory
from tests.generation.making import generate, make_episode, start
from tests.processes import wait_until

pytestmark = pytest.mark.django_db

State = AudioCache.State
Status = GenerationJob.Status
UNUSED, BEYOND, ABANDONED, NO_ROW, REPLACED, NO_GENERATION = (
    "sounds unused for long",
    "sounds beyond the limit",
    "abandoned sounds",
    "sounds without a row",
    "replaced audio files",
    "audio files without a generation",
)


@pytest.fixture(autouse=True)
def limits(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    settings.GENERATION_CACHE_MAX_BYTES = 0
    settings.GENERATION_CACHE_MAX_DAYS = 100
    settings.GENERATION_KEEP_REPLACED_AUDIO_DAYS = 30


@pytest.fixture
def all_folders(monkeypatch):
    monkeypatch.setattr(policies, "FOLDERS_A_NIGHT", 256)


def ago(days: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(days=days)


def key_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def write(name: str, days_ago: float = 0) -> str:
    saved = default_storage.save(name, ContentFile(b"sound"))
    assert saved == name
    os.utime(default_storage.path(name), (ago(days_ago).timestamp(),) * 2)
    return name


def write_sound(key: str, content: str = "sound", days_ago: float = 0) -> str:
    return write(f"generation/sounds/{key[:2]}/{key}/{key_of(content)}.mp3", days_ago)


def write_audio(content: str, days_ago: float = 0) -> str:
    name = key_of(content)
    return write(f"generation/episodes/{name[:2]}/{name}.mp3", days_ago)


def sound(name: str, days_ago: float, size: int = 10, **fields) -> AudioCache:
    """A ready one with its file, used so many days ago."""
    key = key_of(name)
    return AudioCache.objects.create(
        cache_key=key,
        state=State.READY,
        audio_name=write_sound(key),
        audio_bytes=size,
        checksum="0" * 64,
        last_used_at=ago(days_ago),
        **fields,
    )


def generation(
    *sounds: AudioCache, status=Status.COMPLETED, episode=None, ended=0.0, audio_name="", **fields
) -> GenerationJob:
    """One that has these sounds."""
    made = GenerationJob.objects.create(
        episode=episode or EpisodeFactory(status=Episode.Status.PUBLISHED),
        status=status,
        error_code="test" if status == Status.FAILED else "",
        ended_at=ago(ended) if status in (Status.COMPLETED, Status.CANCELLED) else None,
        audio_checksum="0" * 64 if status == Status.COMPLETED else "",
        audio_name=audio_name,
        **fields,
    )
    for number, each in enumerate(sounds):
        GenerationSegment.objects.create(
            generation=made, number=number, chapter=0, cache_key=each.cache_key
        )
    return made


def kept(*sounds: AudioCache) -> list[bool]:
    """Whether each has row and file; one without the other is an error."""
    answers = []
    for each in sounds:
        row = AudioCache.objects.filter(pk=each.pk).exists()
        assert default_storage.exists(each.audio_name) is row
        answers.append(row)
    return answers


# --- the cache ------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [1, 2, 20])
def test_sounds_unused_for_long_go_with_row_file_and_folder(monkeypatch, tmp_path, files):
    monkeypatch.setattr(policies, "FILES", files)
    old = [sound(f"old {number}", 101) for number in range(3)]
    young = sound("young", 99)
    assert retention.due()[UNUSED] == 3

    assert retention.prune().rows[UNUSED] == 3
    assert kept(*old, young) == [False, False, False, True]
    folders = {path.name for path in Path(tmp_path, "generation", "sounds").glob("*/*")}
    assert folders == {young.cache_key}


def test_sound_that_was_made_twice_goes_with_all_its_files():
    old = sound("old", 101)
    earlier = write_sound(old.cache_key, "as it was made first")
    retention.prune()
    assert kept(old) == [False]
    assert not default_storage.exists(earlier)


def needing_now():
    """Ways to need a sound: name, fields of the generation, of its episode."""
    return [
        pytest.param(Status.COMPLETED, Episode.Status.PUBLISHED, True, id="heard"),
        pytest.param(Status.PENDING, Episode.Status.DRAFT, True, id="pending"),
        pytest.param(Status.IN_PROGRESS, Episode.Status.DRAFT, True, id="in progress"),
        pytest.param(Status.PAUSED, Episode.Status.DRAFT, True, id="paused"),
        pytest.param(Status.FAILED, Episode.Status.DRAFT, True, id="failed, may be retried"),
        pytest.param(Status.COMPLETED, Episode.Status.DRAFT, False, id="a draft's"),
        pytest.param(Status.COMPLETED, Episode.Status.ARCHIVED, False, id="archived"),
        pytest.param(Status.CANCELLED, Episode.Status.PUBLISHED, False, id="cancelled"),
    ]


@pytest.mark.parametrize(("status", "of_episode", "stays"), needing_now())
def test_sounds_that_are_needed_stay_however_old(settings, status, of_episode, stays):
    settings.GENERATION_CACHE_MAX_BYTES = 1
    old = sound("old", 1_000)
    made = generation(old, status=status, episode=EpisodeFactory(status=of_episode))
    Episode.objects.update(generation_job_id=str(made.pk))
    retention.prune()
    assert kept(old) == [stays]


def test_sounds_of_a_failure_that_another_generation_came_after_go():
    old = sound("old", 101)
    episode = EpisodeFactory()
    failed = generation(old, status=Status.FAILED, episode=episode)
    later = generation(status=Status.COMPLETED, episode=episode)
    Episode.objects.update(generation_job_id=str(later.pk))
    assert later.pk > failed.pk
    retention.prune()
    assert kept(old) == [False]


def test_sounds_that_only_a_replaced_generation_had_go_and_shared_ones_stay():
    replaced, shared = sound("replaced", 101), sound("shared", 101)
    episode = EpisodeFactory(status=Episode.Status.PUBLISHED)
    generation(replaced, shared, episode=episode)
    generation(shared, episode=episode)
    retention.prune()
    assert kept(replaced, shared) == [False, True]


def test_sounds_beyond_the_limit_go_longest_unused_first(settings):
    settings.GENERATION_CACHE_MAX_BYTES = 25
    sounds = [sound(f"sound {days}", days, size=10) for days in (5, 1, 4, 2, 3)]
    assert retention.due()[BEYOND] == 3
    assert retention.prune().rows[BEYOND] == 3
    assert kept(*sounds) == [False, True, False, True, False]
    assert retention.prune().rows[BEYOND] == 0


def test_sounds_at_the_limit_stay(settings):
    settings.GENERATION_CACHE_MAX_BYTES = 20
    sounds = [sound("a", 2), sound("b", 1)]
    assert retention.prune().rows[BEYOND] == 0
    assert kept(*sounds) == [True, True]


def test_sounds_that_are_needed_count_for_the_limit_and_others_make_room(settings):
    settings.GENERATION_CACHE_MAX_BYTES = 30
    needed = sound("needed", 9, size=20)
    generation(needed)
    others = [sound(f"other {days}", days, size=10) for days in (8, 7)]
    retention.prune()
    assert kept(needed, *others) == [True, False, True]

    settings.GENERATION_CACHE_MAX_BYTES = 5
    retention.prune()
    assert kept(needed, *others) == [True, False, False]


def test_sounds_are_kept_for_ever_where_no_limit_is_set(settings, all_folders):
    settings.GENERATION_CACHE_MAX_DAYS = settings.GENERATION_KEEP_REPLACED_AUDIO_DAYS = 0
    old, forgotten = sound("old", 4_000), write_sound(key_of("forgotten"), days_ago=4_000)
    audio = write_audio("forgotten", days_ago=4_000)
    assert not {UNUSED, BEYOND, NO_ROW, REPLACED, NO_GENERATION} & retention.prune().rows.keys()
    assert kept(old) == [True]
    assert default_storage.exists(forgotten)
    assert default_storage.exists(audio)


def making(name: str, until: dt.datetime, **fields) -> AudioCache:
    key = key_of(name)
    fields.setdefault("audio_name", write_sound(key))
    return AudioCache.objects.create(cache_key=key, making_until=until, **fields)


def test_claims_of_the_dead_go_after_a_day_and_living_ones_never():
    maker = generation(status=Status.IN_PROGRESS)
    dead = making("dead", ago(1.1), maker=maker)
    dying = making("dying", ago(0.9), maker=maker)
    living = making("living", ago(-0.1), maker=maker, last_used_at=ago(1_000))
    assert retention.prune().rows[ABANDONED] == 1
    assert kept(dead, dying, living) == [False, True, True]


def test_claim_that_ran_out_stays_for_a_paused_generation_that_may_have_paid_for_it():
    paused = generation(status=Status.PAUSED)
    kept_by = making("kept", ago(10), maker=paused)
    GenerationSegment.objects.create(
        generation=paused, number=1, chapter=0, cache_key=kept_by.cache_key
    )
    retention.prune()
    assert kept(kept_by) == [True]
    GenerationJob.objects.update(status=Status.CANCELLED)
    retention.prune()
    assert kept(kept_by) == [False]


def die(*_args):
    raise KeyboardInterrupt


def claim_and_die():
    """A run that dies between its commits."""
    batches = policies.UnusedSounds().batches(ago(100))
    with transaction.atomic():
        next(batches)
    return batches


def test_run_that_dies_leaves_a_claim_that_runs_out_and_goes_with_the_abandoned():
    old = sound("old", 101)
    claim_and_die()
    old.refresh_from_db()
    assert (old.state, old.maker) == (State.MAKING, None)
    assert timezone.now() < old.making_until < timezone.now() + dt.timedelta(minutes=5)

    AudioCache.objects.update(making_until=ago(1.1))
    assert retention.prune().rows[ABANDONED] == 1
    assert kept(old) == [False]


def test_run_that_dies_after_a_file_leaves_no_row_that_counts_on_it(monkeypatch):
    old = sound("old", 101)
    batches = claim_and_die()
    with monkeypatch.context() as patch:
        patch.setattr(policies, "_rows_of", die)
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            next(batches)
    old.refresh_from_db()
    assert old.state == State.MAKING
    assert not default_storage.exists(old.audio_name)


def test_sound_that_was_taken_over_meanwhile_is_its_makers():
    """The claim had run out before the files were gone."""
    old = sound("old", 101)
    batches = claim_and_die()
    maker = generation(status=Status.IN_PROGRESS)
    AudioCache.objects.update(maker=maker, making_until=ago(-0.1))
    with transaction.atomic():
        assert next(batches) == 0
    assert AudioCache.objects.get().maker == maker
    assert AudioCache.objects.get().pk == old.pk


@pytest.mark.django_db(transaction=True)
def test_sound_that_is_taken_at_that_moment_is_kept():
    """A generation's hit holds the row; whichever comes first, the other sees it."""
    old, older = sound("old", 101), sound("older", 102)
    taken, done = threading.Event(), threading.Event()

    def hit():
        with transaction.atomic():
            AudioCache.objects.filter(pk=old.pk).update(last_used_at=timezone.now())
            taken.set()
            done.wait(timeout=10)
        connection.close()

    thread = threading.Thread(target=hit)
    thread.start()
    taken.wait(timeout=10)
    pruned = retention.prune()
    done.set()
    thread.join(timeout=10)
    assert pruned.rows[UNUSED] == 1
    assert kept(old, older) == [True, False]
    assert retention.prune().rows[UNUSED] == 0


@pytest.mark.usefixtures("stubs")
def test_generation_that_needs_a_sound_that_is_being_taken_away_waits_and_makes_it():
    episode = make_episode()
    generate(episode)
    AudioCache.objects.update(last_used_at=ago(101))
    batches = claim_and_die()

    again = start(episode)
    assert run_to_end(again)[-1] == "waiting"
    with transaction.atomic():
        assert next(batches) == again.segments.count()
    again.jobs.update(not_before=None)
    run_to_end(again)
    assert again.status == Status.COMPLETED
    assert (again.chars_cached, again.chars_paid > 0) == (0, True)
    assert kept(*AudioCache.objects.filter(state=State.READY)) == [True] * again.segments.count()


@pytest.mark.usefixtures("stubs")
def test_generation_that_counted_on_a_sound_that_went_makes_it_again():
    """The sound went between the look and the commit of those who found it."""
    generation = start(make_episode())
    run_stage(generation, "audio")
    claimed, _ = policies._claim(AudioCache.objects.all())
    assert policies._take_away(claimed) == generation.segments.count()
    paid = generation.chars_paid

    run_to_end(generation)
    assert generation.status == Status.COMPLETED
    assert generation.chars_paid == 2 * paid


# --- what no row knows ------------------------------------------------------------------------


def test_sounds_without_a_row_go_and_strangers_stay(all_folders, tmp_path):
    ready, claimed = sound("ready", 1), making("claimed", ago(0))
    os.utime(default_storage.path(ready.audio_name), (ago(200).timestamp(),) * 2)
    forgotten = write_sound(key_of("forgotten"), days_ago=101)
    young = write_sound(key_of("young"), days_ago=99)
    stranger = write("generation/sounds/ab/notes/readme.txt", days_ago=1_000)
    assert retention.due()[NO_ROW] == 1

    assert retention.prune().rows[NO_ROW] == 1
    assert kept(ready, claimed) == [True, True]
    assert not default_storage.exists(forgotten)
    assert default_storage.exists(young)
    assert default_storage.exists(stranger)
    assert AudioCache.objects.count() == 2


def test_sound_without_a_row_that_somebody_makes_at_that_moment_is_theirs(all_folders):
    key = key_of("forgotten")
    name = write_sound(key, days_ago=101)
    claimed = policies._claim_forgotten([key])
    assert claimed.keys == [key]
    AudioCache.objects.all().delete()
    AudioCache.objects.create(cache_key=key, making_until=ago(-0.1))
    assert policies._claim_forgotten([key]).keys == []
    assert default_storage.exists(name)


def test_each_folder_has_its_night(monkeypatch):
    nights = [ago(-days) for days in range(32)]
    seen: list[str] = []
    for night in nights:
        monkeypatch.setattr(policies.timezone, "now", lambda night=night: night)
        seen += policies._folders_of_tonight("x")
    assert sorted(seen) == [f"x/{number:02x}" for number in range(256)]


# --- audio files ------------------------------------------------------------------------------


def in_turn(*generations_ended: float, episode=None) -> list[GenerationJob]:
    """Completed generations of one episode, each with a file of its own."""
    episode = episode or EpisodeFactory()
    return [
        generation(
            episode=episode,
            ended=days,
            audio_name=write_audio(f"{episode.pk}, {number}"),
        )
        for number, days in enumerate(generations_ended)
    ]


def has_file(made: GenerationJob) -> bool:
    before = made.audio_name
    made.refresh_from_db()
    assert default_storage.exists(before) is bool(made.audio_name)
    return bool(made.audio_name)


@pytest.mark.parametrize("files", [1, 20])
def test_replaced_audio_goes_so_many_days_after_it_was_replaced(monkeypatch, files):
    monkeypatch.setattr(policies, "FILES", files)
    long_ago, lately = in_turn(400, 200, 31), in_turn(400, 29)
    assert retention.due()[REPLACED] == 2
    assert retention.prune().rows[REPLACED] == 2
    assert [has_file(each) for each in long_ago] == [False, False, True]
    assert [has_file(each) for each in lately] == [True, True]


def test_replaced_audio_that_a_later_generation_failed_to_replace_stays():
    episode = EpisodeFactory()
    (current,) = in_turn(400, episode=episode)
    generation(status=Status.FAILED, episode=episode)
    retention.prune()
    assert has_file(current)


def test_replaced_audio_with_the_same_content_stays_for_who_has_it():
    replaced, current = in_turn(400, 200)
    copy = generation(audio_name=replaced.audio_name)
    retention.prune()
    replaced.refresh_from_db()
    assert replaced.audio_name == ""
    assert has_file(copy)
    assert has_file(current)


def test_audio_of_a_cancelled_generation_goes():
    cancelled = generation(status=Status.CANCELLED, ended=31, audio_name=write_audio("cancelled"))
    assert retention.prune().rows[REPLACED] == 1
    assert not has_file(cancelled)


def test_replaced_audio_run_that_dies_goes_on_with_the_next():
    replaced, _ = in_turn(400, 200)
    default_storage.delete(replaced.audio_name)  # as far as the dead one came
    assert retention.prune().rows[REPLACED] == 1
    assert not has_file(replaced)


@pytest.mark.usefixtures("all_folders")
def test_audio_of_deleted_episodes_goes():
    (living,) = in_turn(400)
    (deleted,) = in_turn(400)
    for each in (living, deleted):
        os.utime(default_storage.path(each.audio_name), (ago(400).timestamp(),) * 2)
    young = write_audio("young", days_ago=29)
    half = write(f"generation/episodes/ab/{key_of('half')}_x1y2z3a.mp3", days_ago=31)
    stranger = write("generation/episodes/ab/cover.png", days_ago=1_000)
    deleted.episode.delete()
    assert retention.due()[NO_GENERATION] == 2

    assert retention.prune().rows[NO_GENERATION] == 2
    assert has_file(living)
    assert not default_storage.exists(deleted.audio_name)
    assert not default_storage.exists(half)
    assert default_storage.exists(young)
    assert default_storage.exists(stranger)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("all_folders")
@pytest.mark.parametrize("has_a_row", [True, False], ids=["replaced", "forgotten"])
def test_audio_is_not_deleted_once_another_generation_has_promised_it(has_a_row):
    """It waits for the promise, then sees it."""
    name = write_audio("the same", days_ago=400)
    if has_a_row:
        episode = EpisodeFactory()
        generation(episode=episode, ended=400, audio_name=name)
        generation(episode=episode, ended=200)
    promising = generation(status=Status.IN_PROGRESS)
    promised, done = threading.Event(), threading.Event()

    def promise():
        with transaction.atomic():
            audio_names.promise(promising.pk, name)
            promised.set()
            done.wait(timeout=10)
        connection.close()

    thread = threading.Thread(target=promise)
    thread.start()
    promised.wait(timeout=10)
    pruning = threading.Thread(target=lambda: (retention.prune(), connection.close()))
    pruning.start()
    try:
        wait_until(waits_for_a_lock, "the other one waits", deadline_seconds=10)
    finally:
        done.set()
        for each in (thread, pruning):
            each.join(timeout=10)
    assert default_storage.exists(name)


@pytest.mark.usefixtures("stubs")
def test_upload_promises_the_file_before_it_looks_for_it(monkeypatch):
    promised = []

    def put(name, content):
        promised.append(GenerationJob.objects.filter(audio_name=name).exists())
        return real(name, content)

    real = files.put
    generation = start(make_episode())
    run_stage(generation, "audio")
    monkeypatch.setattr(files, "put", put)
    run_to_end(generation)
    assert generation.status == Status.COMPLETED
    assert promised == [True]


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0])
