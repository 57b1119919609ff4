"""How long sounds and audio files are kept: the cache's limits, and files nobody hears any more.

A sound is taken away in two commits. First its row is claimed, as by one who makes it anew;
then its files go, and its row after them. So no row is ready without its file, and no file is
without a row. Who needs the sound meanwhile finds it being made, waits, and makes it. What a
process that died has left is a claim that has run out, and goes with the other abandoned ones.

The file of an episode's audio is named after its content, so several generations may have the
same one: it goes with the last of them (`generation.audio_names`).
"""

from __future__ import annotations

import datetime as dt
import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Sum, Window
from django.db.models.functions import Cast
from django.utils import timezone

from content.models import Episode
from generation import audio_names, files
from generation.models import AudioCache, GenerationJob
from generation.sounds import claims, kept
from generation.stages import upload
from operations import retention

# In one batch: each is a call or two to the storage.
FILES = 20
# Files lie in 256 folders by the first two digits of their names. So many of them are looked
# through for forgotten ones each night.
FOLDERS_A_NIGHT = 8
# Far longer than it takes to delete a batch's files.
CLAIM = dt.timedelta(seconds=claims.CLAIM_SECONDS)
ABANDONED_AFTER = dt.timedelta(days=1)
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
KEY = re.compile(r"[0-9a-f]{64}")
# One that was half written once may have a second part to its name.
AUDIO_FILE = re.compile(r"[0-9a-f]{64}(_\w+)?\.mp3")

ACTIVE = [GenerationJob.Status[name] for name in GenerationJob.ACTIVE]


class Claimed(NamedTuple):
    """Sounds that are nobody else's until then, which no other claim has to the microsecond."""

    keys: list[str]
    until: dt.datetime


class Sounds(retention.Policy):
    """Base: each batch is claimed in one transaction and taken away in the next."""

    def count(self, before: dt.datetime) -> int:
        return self.due(before).count()

    def batches(self, before: dt.datetime) -> Iterator[int]:
        # On from where the last batch ended: those that stay are mostly the oldest.
        after = LONG_AGO
        while found := _claim(self.due(before).filter(last_used_at__gte=after)):
            claimed, after = found
            yield 0
            yield _take_away(claimed)

    @abstractmethod
    def due(self, before: dt.datetime) -> QuerySet[AudioCache]:
        """In any order."""


class UnusedSounds(Sounds):
    """Nobody has used them since; those that are needed stay all the same."""

    name = "sounds unused for long"
    setting = "GENERATION_CACHE_MAX_DAYS"

    def due(self, before: dt.datetime) -> QuerySet[AudioCache]:
        return _unneeded(AudioCache.State.READY).filter(last_used_at__lt=before)


class SoundsBeyondTheLimit(UnusedSounds):
    """The longest unused, until the rest fits. Those that are needed count, but stay: where they
    alone are more than the limit, they are what is left. Sounds that were used last in the same
    moment go together."""

    name = "sounds beyond the limit"
    setting = "GENERATION_CACHE_MAX_BYTES"

    def before(self) -> dt.datetime | None:
        limit = settings.GENERATION_CACHE_MAX_BYTES
        if not limit:
            return None
        ready = AudioCache.objects.filter(state=AudioCache.State.READY)
        excess = (ready.aggregate(kept=Sum("audio_bytes"))["kept"] or 0) - limit
        if excess <= 0:
            return LONG_AGO
        freed = Window(Sum("audio_bytes"), order_by=["last_used_at", "pk"])
        unneeded = _unneeded(AudioCache.State.READY).annotate(freed=freed)
        going = unneeded.filter(freed__lt=excess + F("audio_bytes"))
        last = going.order_by("-last_used_at").values_list("last_used_at", flat=True).first()
        return last + dt.timedelta(microseconds=1) if last else LONG_AGO


class AbandonedSounds(Sounds):
    """Claims that ran out long ago. Beside one there may be a sound that was paid for and not
    counted yet, by a generation that was paused: it stays for that one."""

    name = "abandoned sounds"

    def before(self) -> dt.datetime | None:
        return timezone.now() - ABANDONED_AFTER

    def due(self, before: dt.datetime) -> QuerySet[AudioCache]:
        return _unneeded(AudioCache.State.MAKING).filter(making_until__lt=before)


class ForgottenSounds(retention.Policy):
    """Sounds in storage that have no row, as after the database was restored. They are given
    one, claimed, and go like the others: who makes the sound at this moment has it first."""

    name = "sounds without a row"
    setting = "GENERATION_CACHE_MAX_DAYS"

    def count(self, before: dt.datetime) -> int:
        return sum(len(keys) for keys in self._found(before))

    def batches(self, before: dt.datetime) -> Iterator[int]:
        for keys in self._found(before):
            claimed = _claim_forgotten(keys)
            yield 0
            yield _take_away(claimed)

    def _found(self, before: dt.datetime) -> Iterator[list[str]]:
        for folder in _folders_of_tonight(kept.FOLDER):
            keys = [name for name in _list(folder)[0] if KEY.fullmatch(name)]
            for chunk in _chunks(keys):
                rows = AudioCache.objects.filter(cache_key__in=chunk)
                known = set(rows.values_list("cache_key", flat=True))
                yield [
                    key
                    for key in chunk
                    if key not in known and _are_older(files.listed(f"{folder}/{key}"), before)
                ]


class ReplacedAudio(retention.Policy):
    """Of generations that a later one of their episode took the place of, and of cancelled
    ones. The generation stays, without a file."""

    name = "replaced audio files"
    setting = "GENERATION_KEEP_REPLACED_AUDIO_DAYS"

    def count(self, before: dt.datetime) -> int:
        return self._due(before).count()

    def batches(self, before: dt.datetime) -> Iterator[int]:
        after = 0
        while rows := dict(self._due(before).filter(pk__gt=after)[:FILES]):
            after = max(rows)
            audio_names.hold()
            others = GenerationJob.objects.exclude(pk__in=rows).filter(audio_name__in=rows.values())
            used = set(others.values_list("audio_name", flat=True))
            # First the files: a process that dies here finds their names again.
            for name in {*rows.values()} - used:
                files.delete(name)
            GenerationJob.objects.filter(pk__in=rows).update(audio_name="")
            yield len(rows)

    def _due(self, before: dt.datetime) -> QuerySet[GenerationJob, tuple[int, str]]:
        in_its_place = GenerationJob.objects.filter(
            episode=OuterRef("episode"),
            pk__gt=OuterRef("pk"),
            status=GenerationJob.Status.COMPLETED,
            ended_at__lt=before,
        )
        cancelled = Q(status=GenerationJob.Status.CANCELLED, ended_at__lt=before)
        ended = GenerationJob.objects.exclude(Q(audio_name="") | Q(status__in=ACTIVE))
        return (
            ended.filter(Exists(in_its_place) | cancelled)
            .order_by("pk")
            .values_list("pk", "audio_name")
        )


class ForgottenAudio(retention.Policy):
    """Files of generations that were deleted with their episode: no row has their name."""

    name = "audio files without a generation"
    setting = "GENERATION_KEEP_REPLACED_AUDIO_DAYS"

    def count(self, before: dt.datetime) -> int:
        return sum(len(names) for names in self._found(before))

    def batches(self, before: dt.datetime) -> Iterator[int]:
        for names in self._found(before):
            for name in names:
                files.delete(name)
            yield len(names)

    def _found(self, before: dt.datetime) -> Iterator[list[str]]:
        for folder in _folders_of_tonight(upload.FOLDER):
            names = [f"{folder}/{each}" for each in _list(folder)[1] if AUDIO_FILE.fullmatch(each)]
            for chunk in _chunks(names):
                audio_names.hold()
                rows = GenerationJob.objects.filter(audio_name__in=chunk)
                known = set(rows.values_list("audio_name", flat=True))
                yield [name for name in chunk if name not in known and _are_older([name], before)]


def register() -> None:
    for policy in (
        UnusedSounds(),
        SoundsBeyondTheLimit(),
        AbandonedSounds(),
        ForgottenSounds(),
        ReplacedAudio(),
        ForgottenAudio(),
    ):
        retention.register(policy)


# --- sounds ---------------------------------------------------------------------------------


def _unneeded(state: AudioCache.State) -> QuerySet[AudioCache]:
    """Sounds in this state, but for those of what listeners hear now, of what is being
    generated, and of what failed and may be retried."""
    newer = GenerationJob.objects.filter(
        episode=OuterRef("episode"),
        pk__gt=OuterRef("pk"),
        status=GenerationJob.Status.COMPLETED,
    )
    is_heard = Q(
        ~Exists(newer),
        status=GenerationJob.Status.COMPLETED,
        episode__status=Episode.Status.PUBLISHED,
    )
    may_be_retried = Q(
        status=GenerationJob.Status.FAILED,
        episode__generation_job_id=Cast("pk", CharField()),
    )
    needing = GenerationJob.objects.filter(
        Q(status__in=ACTIVE) | may_be_retried | is_heard,
        segments__cache_key=OuterRef("cache_key"),
    )
    return AudioCache.objects.filter(~Exists(needing), state=state)


def _claim(due: QuerySet[AudioCache]) -> tuple[Claimed, dt.datetime] | None:
    """The longest unused of them, and when the last of these was used. One that somebody takes
    at this moment is theirs: its row is locked, or by now used too lately to be due."""
    until = timezone.now() + CLAIM
    first = due.order_by("last_used_at", "pk").select_for_update(skip_locked=True)[:FILES]
    rows = list(first.values_list("cache_key", "last_used_at"))
    if not rows:
        return None
    keys = [key for key, _ in rows]
    AudioCache.objects.filter(cache_key__in=keys).update(
        state=AudioCache.State.MAKING, maker=None, making_until=until
    )
    return Claimed(keys, until), rows[-1][1]


def _claim_forgotten(keys: list[str]) -> Claimed:
    until = timezone.now() + CLAIM
    rows = [AudioCache(cache_key=key, making_until=until) for key in keys]
    AudioCache.objects.bulk_create(rows, ignore_conflicts=True)
    return Claimed(list(_rows_of(Claimed(keys, until)).values_list("cache_key", flat=True)), until)


def _take_away(claimed: Claimed) -> int:
    for key in claimed.keys:
        kept.remove(key)
    return _rows_of(claimed).delete()[0]


def _rows_of(claimed: Claimed) -> QuerySet[AudioCache]:
    return AudioCache.objects.filter(
        cache_key__in=claimed.keys,
        state=AudioCache.State.MAKING,
        maker=None,
        making_until=claimed.until,
    )


# --- storage --------------------------------------------------------------------------------


def _folders_of_tonight(parent: str) -> Iterator[str]:
    """Others each night, and all of them in a month or so."""
    first = timezone.now().toordinal() * FOLDERS_A_NIGHT
    for number in range(first, first + FOLDERS_A_NIGHT):
        yield f"{parent}/{number % 256:02x}"


def _list(folder: str) -> tuple[list[str], list[str]]:
    """Folders and files in it; none where it isn't there."""
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return [], []
    return sorted(folders), sorted(files)


def _are_older(names: list[str], before: dt.datetime) -> bool:
    return all(default_storage.get_modified_time(name) < before for name in names)


def _chunks(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + FILES] for start in range(0, len(names), FILES))
