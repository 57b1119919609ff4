"""Having a generation's pending segments said: from the cache where it can be, else made.

`Sounds` belongs to one run of a worker. It owns the order of things: what is claimed, when it
is called for, what is counted. What a look found is written by the step that follows it, in
that step's transaction, together with what was paid; meanwhile the calls go on, so that a
commit takes none of their time.

A worker that dies leaves claims and the files it had kept. Who takes a claim over looks for
its file first, and counts it as paid: the dead one never counted it.
"""

from __future__ import annotations

import io
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from generation import files
from generation.audio.frames import NotMp3
from generation.models import AudioCache, GenerationJob, GenerationSegment
from generation.providers.contract import ProviderBusy, ProviderFailed, SpeechProvider, Usage
from generation.sounds import claims, kept
from generation.sounds.calls import Calls, Ended
from generation.sounds.places import OnlyWorker, Places
from operations.exceptions import WorkWaits

# How often something is committed, and shown.
LOOK_SECONDS = 1.0
# Bounds a statement, and what is held of it.
HITS = 2_000
# Claimed ahead for each place, so that calls fill the time of a commit: 4 of 50 ms are 200 ms.
AHEAD = 4
OTHERS_SECONDS = 1.0
SHOWN_CHARS = 40

State = GenerationSegment.State


class Task(NamedTuple):
    """A sound to make. `number` is of the first segment that needs it."""

    key: str
    number: int
    text: str
    voice: str
    was_taken_over: bool


@dataclass(frozen=True)
class Sound:
    name: str
    size: int
    duration_ms: int
    lufs: float | None
    peak_db: float | None


class Hit(NamedTuple):
    """A segment whose sound is there. `chars`: of its text."""

    id: int
    key: str
    chars: int
    duration_ms: int
    state: str = State.CACHED
    cost: Decimal = Decimal(0)


@dataclass(frozen=True)
class Spoken:
    """What a look found: `done` segments, which `write` writes. `is_all`: none is pending."""

    is_all: bool
    done: int = 0
    usage: Usage = field(default_factory=Usage)
    chars_cached: int = 0
    write: Callable[[], None] | None = None


class Sounds:
    """The sounds of one generation, in one run of a worker. To be closed."""

    def __init__(self, generation: GenerationJob, speech: SpeechProvider) -> None:
        self._generation = generation
        self._speech = speech
        self._places = Places(speech)
        self._only_worker = OnlyWorker(generation)
        self._calls: Calls[Task, Sound] = Calls(self._say, _keep, most=speech.max_parallel)
        self._running = 0  # tasks whose end wasn't seen yet
        self._claims: claims.Claims = {}
        self._extended_at = 0.0
        self._handed_out: set[str] = set()  # by the look before: written by now
        self._claimed_up_to = 0
        self._errors: list[Exception] = []

    def look(self) -> Spoken:
        """What there is by now, after a second or so.

        Raises WorkWaits where others have all places or make all that is left, and what a
        provider or the storage raised: once what was said besides is returned and written.
        """
        for key in self._handed_out:
            self._claims.pop(key, None)
        self._handed_out = set()
        if hits := self._ready():
            return self._found(hits, usage=Usage(), write=lambda: _write_hits(hits))
        if ended := self._collect():
            return self._made(ended)
        if self._errors:
            raise self._worst_error()
        if not self._pending().exists():
            return Spoken(is_all=True)
        raise WorkWaits(
            OTHERS_SECONDS, "What is left is being made by another generation of the same words."
        )

    def close(self) -> None:
        """Wait for the calls that run; what they say is kept, and found by who comes next."""
        self._calls.close()
        try:
            claims.release(self._claims)
        finally:
            self._places.give_back()
            self._only_worker.end()

    # --- what is there ----------------------------------------------------------------

    def _ready(self) -> list[Hit]:
        """Pending segments whose sound is in the cache by now, in their order."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT segment.id, segment.cache_key, length(text), sound.duration_ms
                FROM generation_segments segment JOIN audio_cache sound USING (cache_key)
                WHERE generation_id = %s AND segment.state = 'pending' AND sound.state = 'ready'
                ORDER BY number LIMIT %s
                """,
                [self._generation.pk, HITS],
            )
            return [Hit(*row) for row in cursor.fetchall()]

    def _found(self, hits: Sequence[Hit], *, usage: Usage, write: Callable[[], None]) -> Spoken:
        return Spoken(
            is_all=not self._running and self._pending().count() == len(hits),
            done=len(hits),
            usage=usage,
            chars_cached=sum(hit.chars for hit in hits if hit.state == State.CACHED),
            write=write,
        )

    def _made(self, ended: Sequence[Ended[Task, Sound]]) -> Spoken:
        """What was made, for all segments that need it: the first of them has paid."""
        paid = [(len(each.task.text), self._speech.cost(len(each.task.text))) for each in ended]
        usage = Usage(
            chars=sum(chars for chars, _ in paid), cost=sum((c for _, c in paid), Decimal(0))
        )
        sounds = {each.task.key: each.result for each in ended if each.result}
        tasks = {each.task.key: each.task for each in ended if each.result}
        self._handed_out = set(sounds)
        hits = []
        seen: set[str] = set()
        for id, key, chars in (
            self._pending()
            .filter(cache_key__in=list(sounds))
            .order_by("number")
            .values_list("id", "cache_key", Length("text"))
        ):
            hit = Hit(id, key, chars, sounds[key].duration_ms)
            if key not in seen:
                hit = hit._replace(state=State.MADE, cost=self._speech.cost(chars))
            seen.add(key)
            hits.append(hit)
        uses = Counter(hit.key for hit in hits)

        def write() -> None:
            self._write_sounds(sounds, tasks, uses)
            _write_segments(hits)

        return self._found(hits, usage=usage, write=write)

    def _write_sounds(
        self, sounds: dict[str, Sound], tasks: dict[str, Task], uses: Counter[str]
    ) -> None:
        now = timezone.now()
        AudioCache.objects.bulk_create(
            [
                AudioCache(
                    cache_key=key,
                    state=AudioCache.State.READY,
                    maker=self._generation,
                    making_until=None,
                    audio_name=sound.name,
                    audio_bytes=sound.size,
                    mime_type=self._speech.mime_type,
                    checksum=files.named_checksum(sound.name),
                    parameters=self._parameters(tasks[key].voice),
                    duration_ms=sound.duration_ms,
                    lufs=sound.lufs,
                    peak_db=sound.peak_db,
                    usage_count=max(uses[key], 1),
                    last_used_at=now,
                )
                for key, sound in sorted(sounds.items())  # one order of locks for all
            ],
            # There is the row that was claimed, unless the cache was cleaned meanwhile.
            update_conflicts=True,
            unique_fields=["cache_key"],
            update_fields=[
                "state",
                "maker",
                "making_until",
                "audio_name",
                "audio_bytes",
                "mime_type",
                "checksum",
                "duration_ms",
                "lufs",
                "peak_db",
                "usage_count",
                "last_used_at",
            ],
        )

    # --- calls ------------------------------------------------------------------------

    def _collect(self) -> list[Ended[Task, Sound]]:
        """The calls that were answered within a second, or the first one after that."""
        answered: list[Ended[Task, Sound]] = []
        until = time.monotonic() + LOOK_SECONDS
        self._claim()
        while self._running:
            left = until - time.monotonic()
            if left <= 0 and answered:
                break
            ended = self._calls.next_ended(timeout=left if left > 0 else LOOK_SECONDS)
            if ended:
                self._running -= 1
                if ended.error:
                    self._stop(ended.task, ended.error)
                if ended.answered:
                    answered.append(ended)
            self._claim()
        return answered

    def _claim(self) -> None:
        """Claim segments ahead of the calls, and keep the claims."""
        if time.monotonic() - self._extended_at > claims.CLAIM_SECONDS / 3:
            self._claims = claims.extend(self._claims)
            self._extended_at = time.monotonic()
        ahead = AHEAD * max(self._calls.limit, 1)
        if self._errors or self._calls.waiting > ahead // 2:
            return
        if not self._running and not self._handed_out:
            self._claimed_up_to = 0  # once more: what others made or gave up
        while self._calls.waiting < ahead:
            page = list(
                self._pending()
                .filter(number__gt=self._claimed_up_to)
                .order_by("number")
                .values_list("cache_key", "number", "text", "voice")[: 2 * ahead]
            )
            if not page:
                return
            self._calls.limit = self._places.adjust(self._generation, in_use=self._calls.calling)
            self._add(page)
            self._claimed_up_to = page[-1][1]

    def _add(self, page: list[tuple[str, int, str, str]]) -> None:
        wanted: dict[str, tuple[str, int, str, str]] = {}
        for row in page:
            if row[0] not in self._claims:
                wanted.setdefault(row[0], row)
        ours, taken_over = claims.claim(
            self._generation,
            {key: self._parameters(voice) for key, (_, _, _, voice) in wanted.items()},
            takes_own=self._only_worker.is_sure(),
        )
        self._claims |= ours
        tasks = [Task(*row, key in taken_over) for key, row in wanted.items() if key in ours]
        self._running += len(tasks)
        self._calls.add(tasks)

    def _stop(self, task: Task, error: Exception) -> None:
        self._errors.append(_placed(error, task))
        never_begun = self._calls.stop()
        self._running -= len(never_begun)
        claims.release(
            {each.key: self._claims[each.key] for each in never_begun if each.key in self._claims}
        )

    def _worst_error(self) -> Exception:
        """The one that a person has to act on, if there is one. It tells what all have used."""
        worst = min(self._errors, key=lambda error: isinstance(error, ProviderBusy | WorkWaits))
        if isinstance(worst, ProviderBusy | ProviderFailed):
            worst.usage = sum((getattr(error, "usage", Usage()) for error in self._errors), Usage())
        return worst

    def _say(self, task: Task) -> bytes:
        if task.was_taken_over and (found := kept.find(task.key)):
            return found
        return self._speech.say(task.text, voice=task.voice, speed=self._generation.speed)

    def _parameters(self, voice: str) -> dict[str, object]:
        return self._speech.sound_parameters(voice, self._generation.speed)

    def _pending(self) -> QuerySet[GenerationSegment]:
        return self._generation.segments.filter(state=State.PENDING)


def _keep(task: Task, sound: bytes) -> Sound:
    # Here, for numpy takes its time: only who makes sounds needs it.
    from generation.audio import loudness, mp3

    try:
        duration_ms = mp3.measure(io.BytesIO(sound)).duration_ms
        loud = loudness.measure(sound)
    except NotMp3 as error:
        raise ProviderFailed(
            "provider_malformed",
            f"The provider answered with {len(sound):,} bytes that are no whole MP3. {error} "
            "Retry; if it stays so, change this place of the script.",
        ) from error
    peak_db = loud.peak_db if math.isfinite(loud.peak_db) else None
    return Sound(kept.keep(task.key, sound), len(sound), duration_ms, loud.lufs, peak_db)


def _placed(error: Exception, task: Task) -> Exception:
    """A provider's refusal with the place in the script that it is about."""
    if not isinstance(error, ProviderFailed):
        return error
    shown = task.text if len(task.text) <= SHOWN_CHARS else f"{task.text[:SHOWN_CHARS].rstrip()}…"
    placed = ProviderFailed(
        error.code, f"Segment {task.number} (“{shown}”): {error}", usage=error.usage
    )
    placed.__cause__ = error
    return placed


def _write_hits(hits: Sequence[Hit]) -> None:
    uses = sorted(Counter(hit.key for hit in hits).items())
    keys = [key for key, _ in uses]
    with connection.cursor() as cursor:
        # One order of locks for all.
        cursor.execute(
            "SELECT FROM audio_cache WHERE cache_key = ANY(%s) ORDER BY cache_key FOR UPDATE",
            [keys],
        )
        cursor.execute(
            """
            UPDATE audio_cache SET usage_count = usage_count + hit.uses, last_used_at = now()
            FROM unnest(%s::text[], %s::int[]) AS hit (key, uses) WHERE cache_key = hit.key
            """,
            [keys, [number for _, number in uses]],
        )
    _write_segments(hits)


def _write_segments(hits: Sequence[Hit]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE generation_segments segment
            SET state = hit.state, duration_ms = hit.duration_ms, cost = hit.cost
            FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::numeric[])
                AS hit (id, state, duration_ms, cost)
            WHERE segment.id = hit.id
            """,
            [
                [hit.id for hit in hits],
                [str(hit.state) for hit in hits],
                [hit.duration_ms for hit in hits],
                [hit.cost for hit in hits],
            ],
        )
