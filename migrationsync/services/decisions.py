"""What is decided about records that differ: shown before, carried out, taken back. Permission is
the caller's to check."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from migrationsync.comparing import Explanation, explain
from migrationsync.comparing.records import Key, states, token_of
from migrationsync.differences import Kind
from migrationsync.entities import Entity, UnknownEntity, entities
from migrationsync.exceptions import (
    AlreadyRunning,
    CannotDecide,
    NoSuchChoice,
    NotDeclared,
    OverDeleteBudget,
    StaleRecord,
)
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.models.differentials import Strategy
from migrationsync.querysets import UNDECIDED
from migrationsync.resolving import budget, looking, marking, rules, undoing
from migrationsync.resolving.applying import CHANGED_MEANWHILE
from migrationsync.resolving.gathering import NOWHERE, Gathered
from migrationsync.resolving.previewing import Preview, RecordPreview, preview_of
from migrationsync.services.running import Started, start_run
from migrationsync.source import Source, Table
from migrationsync.works.base import hold_entity
from migrationsync.works.check import still_different
from operations.exceptions import WorkWaits

__all__ = [
    "Preview",
    "RecordPreview",
    "decide",
    "explanation",
    "preview",
    "resolve",
    "undo",
]

State = DifferentialRecord.State
Purpose = SynchronizationRun.Purpose
# Of records that are decided already.
NAMED = 3
_JOB = "differential__checkpoint__sync_job"


def preview(
    records: QuerySet[DifferentialRecord], strategy: str, *, leaves_out: bool = False
) -> Preview:
    """What `resolve` would do. Writes nothing. Raises CannotDecide, SourceError."""
    chosen = _strategy(strategy)
    _refuse_mixed(records)
    _refuse_undeclared(records)
    left_out: dict[Kind, int] = {}
    if leaves_out:
        records, left_out = _fitting(records, chosen)
    _refuse_kinds(records, chosen)
    return preview_of(records, chosen)._replace(left_out=left_out)


def resolve(
    records: QuerySet[DifferentialRecord],
    strategy: str,
    *,
    by: Any,
    approved_deletes: int = 0,
    leaves_out: bool = False,
) -> Started:
    """Decides all of `records` in this way and starts the run that carries it out.

    They are of one job, undecided, and of no later comparison's past. Those that differ in a way
    for which there is no such choice refuse it all; with `leaves_out`, for records that weren't
    chosen one by one, they stay undecided. More deletes than the job's budget allows need to be
    approved: `approved_deletes` is at least their number. Commits the decisions and the run
    together. Raises CannotDecide, OverDeleteBudget, AlreadyRunning.
    """
    chosen = _strategy(strategy)
    with transaction.atomic():
        if leaves_out:
            records, _ = _fitting(records, chosen)
        # A plain list of ids: what is decided is what is looked at now.
        ids = list(
            records.order_by("id").select_for_update(of=("self",)).values_list("pk", flat=True)
        )
        locked = DifferentialRecord.objects.filter(pk__in=ids)
        job = _refuse_mixed(locked)
        _refuse_undeclared(locked)
        _refuse_decided(locked)
        _refuse_kinds(locked, chosen)
        deletes = budget.deletes_of(budget.actions(locked, job.sync_direction, chosen))
        question = budget.question(job, deletes)
        if question is not None and approved_deletes < question["deletes"]:
            raise OverDeleteBudget(question)
        names = locked.order_by().values_list("differential__entity_type", flat=True).distinct()
        started = start_run(job, by=by, purpose=Purpose.RESOLVE, entities=sorted(names))
        if not started.created:
            raise AlreadyRunning(started.run)
        SynchronizationRun.objects.filter(pk=started.run.pk).update(
            approved_deletes=sum(deletes.values())
        )
        started.run.approved_deletes = sum(deletes.values())
        locked.update(
            state=State.OPEN,
            strategy=chosen,
            resolving_run=started.run,
            decided_by=by,
            outcome="",
        )
        _reopen(locked)
        return started


def explanation(record: DifferentialRecord) -> tuple[Explanation, str]:
    """The record as it is now, and the token that stands for that. Raises NotDeclared,
    SourceError."""
    entity = _declared(record.differential.entity_type)
    source = Source(record.differential.checkpoint.sync_job.source_alias)
    return _as_it_is(entity, source, source.check([entity])[entity.name], record.key)


def decide(record: DifferentialRecord, strategy: str, *, token: str, by: Any) -> DifferentialRecord:
    """Decides one record, carries that out at once, and compares the record again.

    `token` is that of `explanation`. What can't be done is said in the record's `outcome`, its
    state is “failed” then; it may be decided again. A decision about one record needs no budget.
    Commits. Raises StaleRecord with how it is now, CannotDecide (decided already, by somebody else
    right now, or not in this way), SourceError.
    """
    chosen = _strategy(strategy)
    with _alone(record):
        record = _undecided(record, chosen)
        differential = record.differential
        job = differential.checkpoint.sync_job
        entity = _declared(differential.entity_type)
        source, key = Source(job.source_alias), record.key
        table = source.check([entity])[entity.name]
        seen = states(entity, [key]).get(key, NOWHERE)
        fresh, now = _as_it_is(entity, source, table, key)
        if now != token:
            raise StaleRecord(fresh, now)
        actions = {record.pk: looking.planned(record, job.sync_direction, chosen)}
        looked = looking.look(entity, source, table, [record], actions)
        if not looked.gathered.returned:
            looked = replace(looked, gathered=_as_seen(looked.gathered, key, seen))
        with transaction.atomic():
            _hold(entity.name)
            record = _undecided(record, chosen, locks=True)
            applied = looking.carry_out(
                looked, batch_name=f"decision/{record.pk}", by_id=by and by.pk
            )
            if applied.outcomes[record.pk].text == CHANGED_MEANWHILE:
                raise StaleRecord(*_as_it_is(entity, source, table, key))
            marking.mark(applied.outcomes, by_id=by and by.pk)
            DifferentialRecord.objects.filter(pk=record.pk).update(strategy=chosen)
        record = _reread(record)
        if record.state == State.RESOLVED:
            again = looking.compared(entity, source, table, [record])
            marking.mark(still_different([record], again))
        return _reread(record)


def undo(change: AppliedChange, *, by: Any) -> AppliedChange:
    """Puts the side back as it was before the change; its record is open again, where no later
    comparison has passed over it. Commits. Raises CannotUndo where the side has changed since or
    the change was undone already, SourceError."""
    source = None
    if change.side == AppliedChange.Side.SOURCE and (job := change.job) is not None:
        source = Source(job.source_alias)
    with transaction.atomic():
        change = undoing.undone(change, source, by=by)
        if change.record is not None:
            marking.reopen(change.record)
    return change


# --- refusing ---------------------------------------------------------------------------


def _strategy(strategy: str) -> Strategy:
    try:
        return Strategy(strategy)
    except ValueError:
        raise NoSuchChoice(
            f"There is no strategy “{strategy}”; there are: {', '.join(Strategy.values)}."
        ) from None


def _refuse_mixed(records: QuerySet[DifferentialRecord]) -> SynchronizationJob:
    jobs = SynchronizationJob.objects.filter(
        pk__in=records.order_by().values(f"{_JOB}__pk")
    ).order_by("job_name")
    found = list(jobs[:5])
    if not found:
        raise CannotDecide("No record was chosen, or they are gone: choose some.")
    if len(found) > 1:
        names = ", ".join(f"“{job}”" for job in found)
        raise CannotDecide(f"The records are of several jobs ({names}): decide each job's alone.")
    return found[0]


def _declared(name: str) -> Entity:
    try:
        return entities.get(name)
    except UnknownEntity as error:
        raise NotDeclared(error) from error


def _refuse_undeclared(records: QuerySet[DifferentialRecord]) -> None:
    names = records.order_by().values_list("differential__entity_type", flat=True).distinct()
    for name in sorted(names):
        _declared(name)


def _refuse_decided(records: QuerySet[DifferentialRecord]) -> None:
    number = records.count()
    passed = records.filter(differential__superseded_at__isnull=False).count()
    if passed:
        which = "it" if number == 1 else f"{passed:,} of these {number:,} records"
        raise CannotDecide(f"A later comparison has passed over {which}: decide what that found.")
    decided = records.exclude(state__in=UNDECIDED)
    if count := decided.count():
        first = decided.select_related("decided_by", "resolving_run__job", "differential")
        told = [_decision(each) for each in first.order_by("pk")[:NAMED]]
        if number == 1:
            raise CannotDecide(f"{told[0]} already: undo that to decide otherwise.")
        more = f"; and {count - len(told):,} more" if count > len(told) else ""
        raise CannotDecide(
            f"{count:,} of these {number:,} records are decided already: leave them out "
            f"({'; '.join(told)}{more})."
        )
    taken = _taken(records).select_related("resolving_run__job").first()
    if taken is not None:
        which = "it" if number == 1 else "some of these records"
        raise CannotDecide(f"{taken.resolving_run} is at {which}: wait for its end.")


def _decision(record: DifferentialRecord) -> str:
    """“ada decided offices 12 on 2026-03-01 at 14:05 (The source wins)”."""
    if record.decided_by is not None:
        who = record.decided_by.get_username()
    else:
        who = str(record.resolving_run or "somebody at the terminal")
    at = record.decided_at and timezone.localtime(record.decided_at)
    when = f" on {at:%Y-%m-%d at %H:%M}" if at else ""
    how = Strategy(record.strategy).label if record.strategy else record.get_state_display()
    return f"{who} decided {record.differential.entity_type} {record.key}{when} ({how})"


def _fitting(
    records: QuerySet[DifferentialRecord], strategy: Strategy
) -> tuple[QuerySet[DifferentialRecord], dict[Kind, int]]:
    """Those for which there is this choice, and how many of which kind there are beside them.
    Where there is none to choose, all of them: to be refused with the reason."""
    unfit = {
        Kind(kind): number
        for kind, number in records.order_by()
        .values_list("differential__kind")
        .annotate(number=Count("pk"))
        if strategy not in rules.allowed(Kind(kind))
    }
    fitting = records.exclude(differential__kind__in=unfit)
    return (fitting, unfit) if unfit and fitting.exists() else (records, {})


def _refuse_kinds(records: QuerySet[DifferentialRecord], strategy: Strategy) -> None:
    kinds = records.order_by().values_list("differential__kind", flat=True).distinct()
    for kind in sorted(kinds):
        _refuse_kind(Kind(kind), strategy)


def _refuse_kind(kind: Kind, strategy: Strategy) -> None:
    allowed = rules.allowed(kind)
    if strategy not in allowed:
        label = DataDifferential.DifferenceKind(kind.value).label
        raise NoSuchChoice(
            f"Records “{label}” can't be resolved by {strategy.value}; choose "
            f"{' or '.join(each.value for each in allowed)}."
        )


def _taken(records: QuerySet[DifferentialRecord]) -> QuerySet[DifferentialRecord]:
    """Those that an open run is to resolve."""
    return records.filter(
        ~Q(strategy=""),
        state=State.OPEN,
        resolving_run__outcome=SynchronizationRun.Outcome.OPEN,
    )


def _undecided(
    record: DifferentialRecord, strategy: Strategy, *, locks: bool = False
) -> DifferentialRecord:
    """The record as it is; raises CannotDecide where it isn't to be decided, or not so."""
    records = DifferentialRecord.objects.filter(pk=record.pk)
    if locks:
        list(records.select_for_update(of=("self",)))
    _refuse_decided(records)
    found = _reread(record)
    _refuse_kind(Kind(found.differential.kind), strategy)
    return found


def _reread(record: DifferentialRecord) -> DifferentialRecord:
    found = DifferentialRecord.objects.select_related(_JOB).filter(pk=record.pk).first()
    if found is None:
        raise CannotDecide("The record is gone: its comparison was removed. Compare again.")
    return found


def _as_it_is(entity: Entity, source: Source, table: Table, key: Key) -> tuple[Explanation, str]:
    # First: what changes after it makes the token stale.
    token = token_of(entity, source, table, key)
    return explain(entity, source, table, key), token


# --- deciding ---------------------------------------------------------------------------


@contextlib.contextmanager
def _alone(record: DifferentialRecord) -> Iterator[None]:
    """Nobody else decides the record meanwhile. Not a row's lock: it has to outlast what is
    committed on the way (which key the source gives to a new row)."""
    name = [f"sync record {record.pk}"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", name)
        if not cursor.fetchone()[0]:
            raise CannotDecide("Somebody else is deciding this record right now: look again.")
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", name)


def _hold(entity: str) -> None:
    try:
        hold_entity(entity)
    except WorkWaits as error:
        raise CannotDecide(f"{error} Try again in a moment.") from error


def _as_seen(gathered: Gathered, key: Key, seen: str) -> Gathered:
    """As it was when the token was compared: what came in between makes it stale."""
    return replace(gathered, seen={**gathered.seen, key: seen})


def _reopen(records: QuerySet[DifferentialRecord]) -> None:
    DataDifferential.objects.filter(records__in=records, resolved=True).update(
        resolved=False, resolved_at=None
    )
