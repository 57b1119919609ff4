"""What would be done about records, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from migrationsync.comparing import Explanation, explain
from migrationsync.comparing.records import explain_extra
from migrationsync.differences import Kind
from migrationsync.entities import entities
from migrationsync.models import DifferentialRecord
from migrationsync.models.differentials import Strategy
from migrationsync.resolving import budget
from migrationsync.resolving.looking import planned
from migrationsync.resolving.rules import Action
from migrationsync.source import Source

EXAMPLES = 20
# By the target's fields: from what, to what.
Fields = Mapping[str, tuple[Any, Any]]


class RecordPreview(NamedTuple):
    """`fields` are those that would change on the side that is written to; values of the source
    are shown as they would be migrated. `problems` stand in the way."""

    record: DifferentialRecord
    action: Action
    fields: Fields
    problems: tuple[str, ...] = ()


class Preview(NamedTuple):
    """`deletes`: by entity, {"deletes": …, "records": …}. `is_over_budget`: the job asks before
    it deletes so many. `examples` are the first records. `left_out`: by kind, how many there are
    for which there is no such choice."""

    actions: dict[Action, int]
    deletes: dict[str, dict[str, int]]
    is_over_budget: bool
    examples: list[RecordPreview]
    left_out: Mapping[Kind, int] = MappingProxyType({})


def preview_of(records: QuerySet[DifferentialRecord], strategy: Strategy) -> Preview:
    """Records of one job. Reads both sides for the examples; raises SourceUnreachable."""
    job_of = "differential__checkpoint__sync_job"
    first = list(
        records.select_related(job_of, "differential").order_by("id")[:EXAMPLES],
    )
    if not first:
        return Preview({}, {}, False, [])
    job = first[0].differential.checkpoint.sync_job
    counted = budget.actions(records, job.sync_direction, strategy)
    actions: Counter[Action] = Counter()
    for (_, action), number in counted.items():
        actions[action] += number
    deletes = budget.deletes_of(counted)
    source = Source(job.source_alias)
    examples = [
        _example(source, record, planned(record, job.sync_direction, strategy)) for record in first
    ]
    is_over = budget.question(job, deletes) is not None
    return Preview(dict(actions), budget.shares(deletes), is_over, examples)


def explained(source: Source, record: DifferentialRecord) -> Explanation:
    """Raises SchemaDrift, SourceUnreachable."""
    entity = entities.get(record.differential.entity_type)
    if record.legacy_id is not None:
        return explain(entity, source, record.legacy_id)
    assert isinstance(record.uuid, UUID)  # noqa: S101 - the database sees to it
    return explain_extra(entity, record.uuid)


def _example(source: Source, record: DifferentialRecord, action: Action) -> RecordPreview:
    found = explained(source, record)
    if found.problems and action.loads:
        return RecordPreview(record, action, {}, found.problems)
    return RecordPreview(record, action, dict(_changes(found, action)))


def _changes(found: Explanation, action: Action) -> Iterator[tuple[str, tuple[Any, Any]]]:
    match action:
        case Action.LOAD | Action.OVERWRITE | Action.RECREATE:
            before, after = found.current, found.legacy
        case Action.RETURN | Action.RETURN_NEW:
            before, after = found.legacy, found.current
        case Action.DELETE_TARGET:
            before, after = found.current, None
        case Action.DELETE_SOURCE:
            before, after = found.legacy, None
        case _:
            return
    for name in before or after or {}:
        change = (before and before[name], after and after[name])
        if before is None or after is None or name in found.differing:
            yield name, change
