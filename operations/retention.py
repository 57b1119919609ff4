"""How long things are kept: what is older is pruned once a day, in small commits.

Owns the loop, the order, the schedule and the kernel's own policies; an app registers its
own (`docs/retention.md` has them all). A run that dies is gone on with by the next one: what
is due is found anew each time.
"""

from __future__ import annotations

import datetime as dt
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_q.models import Schedule
from django_q.tasks import async_task

from operations import kinds
from operations.keys import key_of
from operations.kinds import Kind
from operations.models import Event, IdempotencyKey

TASK = "operations.tasks.prune"
HOUR_UTC = 3
# The advisory lock of whoever prunes, and of whoever sees to the schedule.
LOCK_SPACE = 0x0E9D
OPERATIONS = 500
ROWS = 5_000


class Policy(ABC):
    """What is pruned, and after how many days: `setting` names the setting, 0 is never. One with
    another measure than days has its own `before`."""

    name: ClassVar[str]
    setting: ClassVar[str]

    def before(self) -> dt.datetime | None:
        """What ended before this is due; None: nothing ever is."""
        days = getattr(settings, self.setting)
        return timezone.now() - dt.timedelta(days=days) if days else None

    @abstractmethod
    def count(self, before: dt.datetime) -> int:
        """How many are due."""

    @abstractmethod
    def batches(self, before: dt.datetime) -> Iterator[int]:
        """Prune what is due, a bounded batch before each yield; yields how many it were. Each
        batch is a transaction of its own, and the last may be the last for ever."""


class Pruned(NamedTuple):
    """`rows` by the policy's name. Not `finished`: time was up."""

    rows: dict[str, int]
    finished: bool


class EndedOperationsEvents(Policy):
    """Events of operations that ended, or are gone, and of earlier runs of those that run again
    and again. Numbers go on where they were, and a watcher who asks for older events gets those
    that are left."""

    name = "events"
    setting = "OPERATION_KEEP_EVENTS_DAYS"

    def count(self, before: dt.datetime) -> int:
        return sum(
            self._due(kind, ids, before).count()
            for kind in kinds.all_kinds()
            for ids in _operations_with_events(kind)
        )

    def batches(self, before: dt.datetime) -> Iterator[int]:
        for kind in kinds.all_kinds():
            for ids in _operations_with_events(kind):
                rows = ROWS
                while rows == ROWS:
                    # Asked in each batch's own transaction: one may be retried meanwhile.
                    due = self._due(kind, ids, before)
                    oldest = due.order_by("operation_id", "sequence").values_list("pk", flat=True)
                    rows = Event.objects.filter(pk__in=list(oldest[:ROWS])).delete()[0]
                    yield rows

    def _due(self, kind: Kind[Any], ids: list[str], before: dt.datetime) -> QuerySet[Event]:
        """Of the operations `ids`; the rows of those that ended before are locked against going
        on again."""
        events = Event.objects.filter(kind=kind.name, operation_id__in=ids)
        operations = _operations(kind, ids)
        started = {str(pk): at for pk, at in operations.values_list("pk", "started_at")}
        gone = set(ids) - set(started)
        late = events.filter(operation_id__in=gone, created_at__gte=before)
        gone -= set(late.values_list("operation_id", flat=True))
        with transaction.atomic():
            held = (
                operations.filter(ended_at__lt=before)
                .exclude(status__in=_statuses(kind, ("IN_PROGRESS", "PAUSED")))
                .select_for_update(no_key=True, skip_locked=True, of=("self",))
            )
            ended = {str(pk) for pk in held.values_list("pk", flat=True)}
        due = Q(operation_id__in=sorted(gone | ended))
        if "COMPLETED" not in kind.operation.final_statuses():
            for operation_id, started_at in started.items():
                if started_at and operation_id not in ended:
                    earlier = min(before, started_at)
                    due |= Q(operation_id=operation_id, created_at__lt=earlier)
        return events.filter(due)


class AnsweredKeys(Policy):
    """Idempotency keys of requests so old that nobody repeats them."""

    name = "idempotency keys"
    setting = "OPERATION_KEEP_EVENTS_DAYS"

    def count(self, before: dt.datetime) -> int:
        return sum(len(due) for due in self._due(before))

    def batches(self, before: dt.datetime) -> Iterator[int]:
        for due in self._due(before):
            yield IdempotencyKey.objects.filter(pk__in=due).delete()[0]

    def _due(self, before: dt.datetime) -> Iterator[list[int]]:
        after, older = 0, True
        while older:
            page = list(IdempotencyKey.objects.filter(pk__gt=after).order_by("pk")[:ROWS])
            old = [key for key in page if key.created_at < before]
            older = bool(page) and len(old) == len(page)
            active = {
                (kind.name, str(pk))
                for kind in kinds.all_kinds()
                for pk in _active(kind, [key for key in old if key.kind == kind.name])
            }
            yield [key.pk for key in old if (key.kind, key.operation_id) not in active]
            after = page[-1].pk if page else after


_policies: list[Policy] = [EndedOperationsEvents(), AnsweredKeys()]


def register(policy: Policy) -> None:
    _policies.append(policy)


def due() -> dict[str, int]:
    """What `prune` would prune now, by the policy's name."""
    return {
        policy.name: policy.count(before)
        for policy in _policies
        if (before := policy.before()) is not None
    }


def prune(*, seconds: float | None = None) -> Pruned:
    """Prune what is due, for about `seconds`. Each batch is committed by itself. While
    another one prunes this one does nothing: the other goes on."""
    deadline = None if seconds is None else time.monotonic() + seconds
    rows: dict[str, int] = {}
    for policy in _policies:
        before = policy.before()
        if before is None:
            continue
        rows[policy.name] = 0
        batches = policy.batches(before)
        while True:
            if deadline is not None and time.monotonic() >= deadline:
                return Pruned(rows, finished=False)
            with transaction.atomic():
                if not _is_ours():
                    return Pruned(rows, finished=True)
                pruned = next(batches, None)
            if pruned is None:
                break
            rows[policy.name] += pruned
    return Pruned(rows, finished=True)


def prune_for_a_while() -> dict[str, int]:
    """What the schedule runs: as long as a task may take, and the rest in another one."""
    pruned = prune(seconds=settings.OPERATION_TIME_BUDGET_SECONDS)
    if not pruned.finished:
        async_task(TASK)
    return pruned.rows


def ensure_scheduled() -> None:
    """Have the queue prune each night. django-q locks the schedule's row while it looks, so of
    many clusters one does it; a night that was missed is made up for once."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [LOCK_SPACE])
        if Schedule.objects.filter(func=TASK).exists():
            return
        tonight = timezone.now().replace(hour=HOUR_UTC, minute=0, second=0, microsecond=0)
        if tonight <= timezone.now():
            tonight += dt.timedelta(days=1)
        Schedule.objects.create(
            name="Retention", func=TASK, schedule_type=Schedule.DAILY, next_run=tonight
        )


def _is_ours() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, 0)", [LOCK_SPACE])
        return bool(cursor.fetchone()[0])


def _active(kind: Kind[Any], keys: list[IdempotencyKey]) -> list[Any]:
    active = _operations(kind, [key.operation_id for key in keys]).filter(
        status__in=_statuses(kind, kind.operation.ACTIVE), ended_at=None
    )
    return list(active.values_list("pk", flat=True))


def _operations(kind: Kind[Any], ids: Iterable[str]) -> QuerySet[Any]:
    keys = (key_of(kind.operation, each) for each in ids)
    return kind.operation._default_manager.filter(pk__in=[key for key in keys if key is not None])


def _statuses(kind: Kind[Any], names: Iterable[str]) -> list[str]:
    return [kind.operation.Status[name] for name in names]


def _operations_with_events(kind: Kind[Any]) -> Iterator[list[str]]:
    """The ids of the operations that have events, a page at a time: from one to the next along
    the index, however many events each has.
    https://wiki.postgresql.org/wiki/Loose_indexscan"""
    following = """
        SELECT operation_id FROM operation_events
        WHERE kind = %(kind)s AND operation_id > {after} ORDER BY operation_id LIMIT 1"""
    sql = f"""
        WITH RECURSIVE found AS (
            ({following.format(after="%(after)s")})
            UNION ALL
            SELECT ({following.format(after="found.operation_id")}) FROM found
            WHERE found.operation_id IS NOT NULL
        )
        SELECT operation_id FROM found WHERE operation_id IS NOT NULL LIMIT {OPERATIONS}"""  # noqa: S608 - a constant
    page = [""]
    while page:
        with connection.cursor() as cursor:
            cursor.execute(sql, {"kind": kind.name, "after": page[-1]})
            page = [operation_id for (operation_id,) in cursor.fetchall()]
        if page:
            yield page
