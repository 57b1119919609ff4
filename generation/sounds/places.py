"""How many calls a provider gets at once, over all machines.

A place is an advisory lock of PostgreSQL that a worker's session holds: it is free again the
moment that worker dies, and nothing has to be cleaned up. Owns also the lock by which the next
worker of a generation knows that the earlier one is gone.
"""

from __future__ import annotations

import datetime as dt
import zlib
from typing import Any

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from generation.models import GenerationJob, GenerationStage
from generation.providers.contract import SpeechProvider
from operations.exceptions import WorkWaits

TAKEN_SECONDS = 1.0
# One that waits and has no worker that looks again isn't waited for.
LOOKED_AFTER = dt.timedelta(seconds=5)
_WORKERS = zlib.crc32(b"generation.sounds.workers") - 2**31


class SessionLocks:
    """Advisory locks of this thread's session. They end with it: on another connection than
    they were taken on, none is held."""

    def __init__(self, space: int) -> None:
        self._space = space
        self._numbers: list[int] = []
        self._session: Any = None

    @property
    def held(self) -> int:
        return len(self._valid())

    def held_by_all(self) -> int:
        """How many are held, by all sessions together."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND objsubid = 2 AND classid::bigint = %s AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())",
                [self._space % 2**32],
            )
            return int(cursor.fetchone()[0])

    def take(self, numbers: list[int], *, at_most: int) -> int:
        """Take some of `numbers` that nobody holds; how many."""
        held = self._valid()
        free = [number for number in numbers if number not in held]
        if at_most <= 0 or not free:
            return 0
        with connection.cursor() as cursor:
            # The limit ends the looking, so no more is locked than is returned.
            cursor.execute(
                "SELECT number FROM unnest(%s::int[]) AS number"
                " WHERE pg_try_advisory_lock(%s, number) LIMIT %s",
                [free, self._space, at_most],
            )
            taken = [number for (number,) in cursor.fetchall()]
        self._session = connection.connection
        held += taken
        return len(taken)

    def give_back(self, *, keep: int = 0) -> None:
        held = self._valid()
        given, held[keep:] = held[keep:], []
        if given:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_unlock(%s, number) FROM unnest(%s::int[]) AS number",
                    [self._space, given],
                )

    def _valid(self) -> list[int]:
        if self._session is not connection.connection:
            self._numbers = []
        return self._numbers


class Places:
    """The places at a provider that this worker holds for a generation.

    They are shared: each running generation has its part of them, gives back what is more than
    that, and who has waited longest comes first. Nobody's share is less than one, so where
    there are more generations than places some wait, until a run of a worker ends.
    """

    def __init__(self, provider: SpeechProvider) -> None:
        self._provider = provider
        self._locks = SessionLocks(zlib.crc32(f"speech {provider.name}".encode()) - 2**31)

    @property
    def held(self) -> int:
        return self._locks.held

    def adjust(self, generation: GenerationJob, *, in_use: int) -> int:
        """Take what is free of this generation's share, or give back what is more, those
        `in_use` left out; how many calls may run. Raises WorkWaits where there is none."""
        most = self._provider.max_parallel
        waiting = _waiting(self._reason())
        share = max(1, most // max(1, _running_or(waiting, generation)))
        if not self.held and not self._is_turn_of(generation, waiting):
            raise WorkWaits(TAKEN_SECONDS, self._reason())
        self._locks.give_back(keep=max(share, in_use))
        self._locks.take(list(range(most)), at_most=share - self.held)
        if not self.held:
            raise WorkWaits(TAKEN_SECONDS, self._reason())
        return min(share, self.held)

    def give_back(self) -> None:
        self._locks.give_back()

    def _is_turn_of(self, generation: GenerationJob, waiting: list[int]) -> bool:
        """Whether there are more free places than generations that have waited longer."""
        is_waiting = generation.pk in waiting
        earlier = waiting.index(generation.pk) if is_waiting else len(waiting)
        return not earlier or earlier < self._provider.max_parallel - self._locks.held_by_all()

    def _reason(self) -> str:
        number = self._provider.max_parallel
        places = f"All {number} places" if number > 1 else "The only place"
        taken = "are taken" if number > 1 else "is taken"
        return f"{places} at {self._provider.name} {taken} by other generations."


class OnlyWorker:
    """That no other worker makes sounds of this generation: an earlier one may still wait for
    the calls it began, after it gave its job back."""

    def __init__(self, generation: GenerationJob) -> None:
        self._number = generation.pk % 2**31
        self._locks = SessionLocks(_WORKERS)

    def is_sure(self) -> bool:
        return bool(self._locks.held or self._locks.take([self._number], at_most=1))

    def end(self) -> None:
        self._locks.give_back()


def _waiting(reason: str) -> list[int]:
    """The generations that wait for a place and are looked after, the longest wait first."""
    return list(
        GenerationJob.objects.filter(
            waiting_reason=reason,
            waiting_until__gt=timezone.now() - LOOKED_AFTER,
            status__in=[GenerationJob.Status[name] for name in GenerationJob.RUNNABLE],
        )
        .order_by("waiting_since", "pk")
        .values_list("pk", flat=True)
    )


def _running_or(waiting: list[int], generation: GenerationJob) -> int:
    """How many generations want places: those in the audio stage whose job a worker has, and
    those that wait."""
    return (
        GenerationStage.objects.filter(
            Q(stage="audio", lease_until__gt=Now()) | Q(generation__in=waiting)
        )
        .values("generation")
        .union(GenerationJob.objects.filter(pk=generation.pk).values("pk"))
        .count()
    )
