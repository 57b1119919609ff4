"""How much there is to look into: differences and quarantined rows, counted up to a bound.

Each function is one statement, for however many jobs or entities it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Sum

from content.admin.pagination import COUNT_LIMIT, BoundedCount
from migrationsync.differences import Kind
from migrationsync.models import (
    DataDifferential,
    DifferentialRecord,
    QuarantinedRow,
    SynchronizationJob,
)

# Of each entity so many quarantined rows are looked at for the reasons that are most frequent.
SAMPLE = 1_000
REASONS_SHOWN = 3

_QUARANTINED = f"""
SELECT name, (
    SELECT count(*) FROM (
        SELECT FROM {QuarantinedRow._meta.db_table}
        WHERE entity_type = name AND resolved_at IS NULL
        LIMIT %s
    ) AS bounded
)
FROM unnest(%s::text[]) AS name"""

_REASONS = f"""
SELECT name, reason ->> 'column', reason ->> 'problem', count(*) AS rows
FROM unnest(%s::text[]) AS name
CROSS JOIN LATERAL (
    SELECT reasons FROM {QuarantinedRow._meta.db_table}
    WHERE entity_type = name AND resolved_at IS NULL
    LIMIT %s
) AS sample
CROSS JOIN LATERAL jsonb_array_elements(sample.reasons) AS reason
GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3"""


def differing(jobs: Iterable[UUID], *, limit: int = COUNT_LIMIT) -> dict[UUID, int]:
    """Records that each job found and nobody has decided yet; `limit` + 1: more than that. Without
    those in quarantine, which are counted there: they wait for their source to be mended."""
    records = (
        DifferentialRecord.objects.to_decide()
        .of_job(OuterRef("pk"))
        .exclude(differential__kind=Kind.QUARANTINED)
        .order_by()
    )
    counted = (
        SynchronizationJob.objects.filter(pk__in=list(jobs))
        .order_by()
        .annotate(differing=BoundedCount(records.values("pk")[: limit + 1]))
    )
    return dict(counted.values_list("pk", "differing"))


def differing_by_kind(job: SynchronizationJob) -> list[dict[str, Any]]:
    """What the job found that isn't all decided or superseded, by entity and kind, as stored:
    {"entity_type", "kind", "found"}."""
    found = (
        DataDifferential.objects.open()
        .filter(checkpoint__sync_job=job)
        .values("entity_type", "kind")
        .annotate(found=Sum("record_count"))
        .order_by("entity_type", "kind")
    )
    return [dict(each) for each in found]


def quarantined(names: Iterable[str], *, limit: int = COUNT_LIMIT) -> dict[str, int]:
    """Open rows by entity; `limit` + 1: more than that."""
    with connection.cursor() as cursor:
        cursor.execute(_QUARANTINED, [limit + 1, sorted(set(names))])
        return dict(cursor.fetchall())


def reasons(names: Iterable[str]) -> Mapping[str, list[tuple[str, str, int]]]:
    """The most frequent reasons among the first open rows of each entity: (column, problem,
    rows)."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_REASONS, [sorted(set(names)), SAMPLE])
        for name, column, problem, rows in cursor.fetchall():
            shown = found.setdefault(name, [])
            if len(shown) < REASONS_SHOWN:
                shown.append((column, problem, rows))
    return found
