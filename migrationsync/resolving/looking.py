"""Looks again at records that were decided, before anything is done: are they still so?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from migrationsync.comparing import Difference
from migrationsync.comparing.records import Key, compare_records
from migrationsync.differences import Kind
from migrationsync.entities import Entity
from migrationsync.models import DataDifferential, DifferentialRecord, SynchronizationRun
from migrationsync.models.differentials import Strategy
from migrationsync.resolving import gathering
from migrationsync.resolving.applying import ALIKE, Applied, apply
from migrationsync.resolving.gathering import Decided, Gathered
from migrationsync.resolving.rules import Action, action_of
from migrationsync.source import Source, Table

State = DifferentialRecord.State
# Both say that a row never came over, and by the same rule.
_NEVER_CAME = {Kind.MISSING, Kind.QUARANTINED}


@dataclass(frozen=True)
class Looked:
    """Records with what was gathered for them; `planned` is what was to be done about each, by
    its id, and `now` how those differ that still do."""

    records: Sequence[DifferentialRecord]
    planned: dict[int, Action]
    now: dict[Key, Difference]
    gathered: Gathered


def of_run(run: SynchronizationRun, entity: str) -> QuerySet[DifferentialRecord]:
    """What a run is to resolve of an entity, or has resolved."""
    return (
        DifferentialRecord.objects.filter(resolving_run=run, differential__entity_type=entity)
        .select_related("differential")
        .only(
            "legacy_id",
            "uuid",
            "is_contested",
            "state",
            "strategy",
            "outcome",
            "differential__kind",
            "differential__entity_type",
        )
        .order_by("id")
    )


def planned(record: DifferentialRecord, direction: str, strategy: str = "") -> Action:
    """What its strategy (or another one) does about it."""
    return action_of(
        Kind(record.differential.kind),
        record.is_contested,
        direction,
        Strategy(strategy or record.strategy),
    )


def compared(
    entity: Entity, source: Source, table: Table, records: Sequence[DifferentialRecord]
) -> dict[Key, Difference]:
    keys = [record.key for record in records]
    return compare_records(
        entity,
        source,
        table,
        legacy_ids=[key for key in keys if isinstance(key, int)],
        uuids=[key for key in keys if not isinstance(key, int)],
    )


def look(
    entity: Entity,
    source: Source,
    table: Table,
    records: Sequence[DifferentialRecord],
    actions: dict[int, Action],
) -> Looked:
    """Outside the target's transaction. `actions` are by the records' ids. What is to go back
    to the source has been written there. Raises TooMuch, SourceUnreachable."""
    now = compared(entity, source, table, records)
    reserved = gathering.reserved(entity, now.values())
    decided = list(_decided(records, actions, now, reserved))
    return Looked(records, actions, now, gathering.gather(entity, source, table, decided))


def _decided(
    records: Sequence[DifferentialRecord],
    actions: dict[int, Action],
    now: dict[Key, Difference],
    reserved: set[Key],
) -> Iterator[Decided]:
    for record in records:
        difference = now.get(record.key)
        if difference is None:
            continue
        if _is_still(record, difference) or actions[record.pk] is Action.SKIP:
            yield Decided(difference, actions[record.pk])
        elif difference.kind is Kind.DELETED_IN_BOTH:
            yield Decided(difference, Action.FORGET)
        elif actions[record.pk] is Action.RETURN_NEW and difference.legacy_id in reserved:
            # It has its key in the source already, but isn't there yet.
            yield Decided(difference, Action.RETURN_NEW)
        else:
            # It may have become the same on both sides: that is all that is looked at.
            yield Decided(difference, Action.REVIEW)


def _is_still(record: DifferentialRecord, difference: Difference) -> bool:
    kind = Kind(record.differential.kind)
    if kind in _NEVER_CAME:
        return difference.kind in _NEVER_CAME
    return difference.kind is kind and difference.is_contested == record.is_contested


def carry_out(looked: Looked, *, batch_name: str, run_id: Any = None, by_id: Any = None) -> Applied:
    """In the caller's transaction: does it, and says what became of every record."""
    ids: dict[Key, int] = {}
    for record in looked.records:
        difference = looked.now.get(record.key)
        if difference is not None:
            ids[difference.key] = record.pk
    applied = apply(looked.gathered, ids, batch_name=batch_name, run_id=run_id, by_id=by_id)
    for record in looked.records:
        if record.pk in applied.outcomes:
            continue
        difference = looked.now.get(record.key)
        if difference is not None:
            applied.set(record.pk, State.FAILED, otherwise(difference), "changed_meanwhile")
        elif looked.planned[record.pk] is Action.SKIP:
            applied.set(record.pk, State.SKIPPED, ALIKE, Action.SKIP)
        else:
            applied.set(record.pk, State.RESOLVED, ALIKE, "converged")
    return applied


def otherwise(difference: Difference) -> str:
    return (
        f"It is otherwise by now ({in_words(difference)}), so nothing was done: decide again "
        "after the next comparison."
    )


def in_words(difference: Difference) -> str:
    return str(DataDifferential.DifferenceKind(difference.kind.value).label).lower()
