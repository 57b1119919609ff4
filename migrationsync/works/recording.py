"""Stores what a comparison found: differentials, and a record for each difference.

Owns the writing, by sets. What becomes of a record is `migrationsync.resolving`'s.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from migrationsync.comparing import Difference, findings
from migrationsync.entities import Entity
from migrationsync.models import DataDifferential, DifferentialRecord, MigrationCheckpoint
from migrationsync.models.differentials import Strategy

_RECORDS = f"""
INSERT INTO {DifferentialRecord._meta.db_table}
    (differential_id, legacy_id, uuid, is_contested, state, strategy, outcome, resolving_run_id)
SELECT %s, legacy_id, uuid, is_contested, 'open', strategy, '', run_id
FROM unnest(%s::bigint[], %s::uuid[], %s::boolean[], %s::text[], %s::uuid[])
    AS found (legacy_id, uuid, is_contested, strategy, run_id)"""


def record(
    checkpoint: MigrationCheckpoint,
    entity: Entity,
    differences: Sequence[Difference],
    criteria: dict[str, Any],
    *,
    strategy: Callable[[Difference], Strategy] | None = None,
) -> list[DataDifferential]:
    """Stores the differences of one segment, in the caller's transaction: a differential for
    each kind and ten thousand records, in the order they were found.

    `criteria` say how was compared (`Differential.criteria`); the columns compared are added.
    With `strategy` each record is to be resolved so, by the checkpoint's run; those for
    MANUAL_REVIEW are left to a person.
    """
    found = {each.json_key: each for each in differences}
    criteria = {**criteria, "columns": {value.field: value.source for value in entity.values}}
    stored = []
    for finding in findings(entity, differences, criteria):
        page = [found[key] for key in finding.legacy_ids]
        decisions = [_decided(strategy, each) for each in page]
        differential = DataDifferential(
            checkpoint=checkpoint,
            entity_type=entity.name,
            source_table=finding.source_table,
            target_table=finding.target_table,
            comparison_type=finding.comparison_type,
            kind=finding.comparison_criteria["kind"],
            legacy_ids=finding.legacy_ids,
            record_count=finding.record_count,
            comparison_criteria=finding.comparison_criteria,
            resolution_strategy=_common(decisions),
        )
        differential.save(force_insert=True)
        _add_records(differential, page, decisions)
        stored.append(differential)
    return stored


def counts(differences: Iterable[Difference]) -> dict[str, int]:
    """How many there are of each kind, as a step's counts."""
    return dict(Counter(each.kind.value for each in differences))


def supersede(checkpoint: MigrationCheckpoint, criteria: dict[str, Any]) -> int:
    """Closes the entity's older differentials once its comparison has ended, in the caller's
    transaction; returns how many.

    Only the same job's: another one has its own direction, rule and reviewers, and may read another
    source. And only of comparisons that looked no further than this one: what a full one found in
    the target isn't answered by one that looked at the source alone.
    """
    older = DataDifferential.objects.open()
    older = older.filter(
        _no_further(criteria),
        checkpoint__sync_job=checkpoint.sync_job_id,
        entity_type=checkpoint.entity_type,
    ).exclude(checkpoint__run=checkpoint.run_id)
    return older.update(superseded_at=timezone.now())


def _no_further(criteria: dict[str, Any]) -> Q:
    by_time = Q(comparison_criteria__contains={"compared_by": "timestamp"})
    if criteria["compared_by"] == "timestamp":
        since = dt.datetime.fromisoformat(criteria["since"])
        return by_time & Q(comparison_criteria__since__gte=since.astimezone(dt.UTC).isoformat())
    if criteria["sides"] == ["source"]:
        source_only = Q(
            comparison_criteria__contains={"compared_by": "checksum", "sides": ["source"]}
        )
        both = Q(comparison_criteria__contains={"sides": ["target"]})
        return by_time | (source_only & ~both)
    return Q()


def _decided(
    strategy: Callable[[Difference], Strategy] | None, difference: Difference
) -> Strategy | None:
    decision = strategy(difference) if strategy else None
    return None if decision == Strategy.MANUAL_REVIEW else decision


def _common(decisions: Sequence[Strategy | None]) -> Strategy:
    only = set(decisions)
    return (only.pop() if len(only) == 1 else None) or Strategy.MANUAL_REVIEW


def _add_records(
    differential: DataDifferential,
    page: Sequence[Difference],
    decisions: Sequence[Strategy | None],
) -> None:
    run = differential.checkpoint.run_id
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORDS,
            [
                differential.pk,
                [each.legacy_id for each in page],
                [each.uuid for each in page],
                [each.is_contested for each in page],
                [each.value if each else "" for each in decisions],
                [run if each else None for each in decisions],
            ],
        )
