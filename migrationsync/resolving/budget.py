"""How many records a run deletes, and whether that many may be without asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.db.models import Count, QuerySet

from migrationsync.differences import Kind
from migrationsync.models import DifferentialRecord, LegacyIdMapping, SynchronizationJob
from migrationsync.models.differentials import Strategy
from migrationsync.resolving.rules import Action, action_of

# {"deletes": 1200, "entities": {"offices": {"deletes": 1200, "records": 2000}}}
Question = dict[str, Any]


def actions(
    records: QuerySet[DifferentialRecord], direction: str, strategy: Strategy | None = None
) -> Counter[tuple[str, Action]]:
    """How many of `records` come to which action, by entity: by their own strategy, or by this
    one. One statement, whatever their number."""
    found: Counter[tuple[str, Action]] = Counter()
    groups = records.order_by().values_list(
        "differential__entity_type", "differential__kind", "is_contested", "strategy"
    )
    for entity, kind, is_contested, chosen, number in groups.annotate(number=Count("pk")):
        choice = strategy or (Strategy(chosen) if chosen else Strategy.MANUAL_REVIEW)
        found[entity, action_of(Kind(kind), is_contested, direction, choice)] += number
    return found


def deletes_of(counted: Mapping[tuple[str, Action], int]) -> dict[str, int]:
    """Of what `actions` counted the deletes, by entity."""
    deletes: Counter[str] = Counter()
    for (entity, action), number in counted.items():
        if action.is_delete:
            deletes[entity] += number
    return dict(deletes)


def shares(deletes: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Each entity's deletes beside how many records it has."""
    mapped = LegacyIdMapping.objects.filter(entity_type__in=deletes).values_list("entity_type")
    records = dict(mapped.annotate(number=Count("pk")))
    return {
        entity: {"deletes": number, "records": max(records.get(entity, 0), number)}
        for entity, number in sorted(deletes.items())
    }


def in_words(question: Question) -> list[str]:
    """“1,200 of 2,000 offices”, by entity."""
    return [
        f"{each['deletes']:,} of {each['records']:,} {entity}"
        for entity, each in question["entities"].items()
    ]


def question(job: SynchronizationJob, deletes: Mapping[str, int]) -> Question | None:
    """What has to be asked before so many are deleted; None: the job's budget allows it."""
    total = sum(deletes.values())
    if not total:
        return None
    by_entity = shares(deletes)
    is_over = total > job.max_deletes or any(
        each["deletes"] * 100 > job.max_deleted_percent * each["records"]
        for each in by_entity.values()
    )
    return {"deletes": total, "entities": by_entity} if is_over else None
