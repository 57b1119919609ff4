"""What would be done about records, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db.models import QuerySet

from migrationsync.comparing import Explanation, explain
from migrationsync.differences import Kind
from migrationsync.entities import entities
from migrationsync.models import DifferentialRecord, SynchronizationJob
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

    def as_json(self) -> dict[str, Any]:
        """But for the examples."""
        return {
            "actions": {str(action): number for action, number in self.actions.items()},
            "deletes": self.deletes,
            "is_over_budget": self.is_over_budget,
            "left_out": {kind.value: number for kind, number in self.left_out.items()},
        }


def preview_of(records: QuerySet[DifferentialRecord], strategy: Strategy) -> Preview:
    """Records of one job. Reads both sides for the examples; raises SchemaDrift,
    SourceUnreachable."""
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
    examples = _examples(job, first, strategy)
    is_over = budget.question(job, deletes) is not None
    return Preview(dict(actions), budget.shares(deletes), is_over, examples)


def _examples(
    job: SynchronizationJob, records: Sequence[DifferentialRecord], strategy: Strategy
) -> list[RecordPreview]:
    source = Source(job.source_alias)
    declared = {each.differential.entity_type for each in records}
    tables = source.check([entities.get(name) for name in sorted(declared)])
    return [
        _example(
            record,
            explain(entities.get(name), source, tables[name], record.key),
            planned(record, job.sync_direction, strategy),
        )
        for record in records
        for name in [record.differential.entity_type]
    ]


def _example(record: DifferentialRecord, found: Explanation, action: Action) -> RecordPreview:
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
