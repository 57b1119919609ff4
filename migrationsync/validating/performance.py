"""Whether the entity moves, and is looked up, as quickly as it should."""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import QuerySet

from migrationsync import lookup
from migrationsync.comparing import Cursor
from migrationsync.models import (
    LegacyIdMapping,
    MigrationCheckpoint,
    MigrationValidationReport,
)
from migrationsync.validating.base import Discrepancy, Looked, Validation
from migrationsync.validating.segments import MAPPINGS, asked

# How many look-ups the median is of.
LOOKUPS = 101
INDEX = "legacy_id_mappings_legacy_once"
_Type = MigrationCheckpoint.OperationType


@dataclass(frozen=True)
class Thresholds:
    """What is too slow, and from how much on that can be said."""

    # A million rows in a quarter of an hour. Measured on two cores: some 20,000 with all indexes.
    rows_per_second: float = 1_000
    # A start and an end take their time however few rows are between them.
    rows_at_least: int = 10_000
    # By the index it takes a fraction of one and the way to the server, on a busy machine ten; by
    # reading a table of a million rows, more than this.
    lookup_ms: float = 50
    # PostgreSQL rightly reads a small table as a whole.
    index_from: int = 10_000
    # Where more than half is asked of the database, the cache is too small for what is asked.
    hit_rate: float = 0.5
    hit_rate_from: int = 1_000


class Performance(Validation):
    """Looks at this process's cache, and at what was kept of the last load or sync, waiting and
    pauses included."""

    type: ClassVar[str] = MigrationValidationReport.Type.PERFORMANCE_CHECK
    thresholds = Thresholds()

    @property
    def criteria(self) -> dict[str, Any]:
        return dataclasses.asdict(self.thresholds)

    def read(self, cursor: Cursor | None, size: int) -> None:
        return None

    def look(self, read: None) -> Looked:
        measured: dict[str, Any] = {"rows_per_second": self._rows_per_second()}
        ids = self._sample()
        if ids:
            measured["lookup_ms"] = self._lookup_ms(ids)
            measured["lookup_by_index"] = self._by_index(ids[len(ids) // 2])
        cache = lookup.statistics()
        asked_for = cache["hits"] + cache["misses"]
        if asked_for >= self.thresholds.hit_rate_from:
            measured["hit_rate"] = round(cache["hit_rate"], 4)
        return Looked(
            records=len(ids),
            wrong=[Discrepancy(what, 1) for what in judged(measured, self.thresholds)],
            cursor=None,
            measured=measured,
        )

    def _rows_per_second(self) -> float | None:
        """Of the last load or sync with enough rows; None: there is none."""
        name = self.entity.name
        last = (
            MigrationCheckpoint.objects.filter(
                status=MigrationCheckpoint.Status.COMPLETED,
                entity_type=name,
                operation_type__in=(_Type.DIFFERENTIAL_MIGRATION, _Type.SYNC_OPERATION),
                stage__in=(f"load-{name}", f"sync-{name}"),
                records_processed__gte=self.thresholds.rows_at_least,
                started_at__isnull=False,
                completed_at__isnull=False,
            )
            .order_by("-completed_at")
            .first()
        )
        if last is None or last.started_at is None or last.completed_at is None:
            return None
        seconds = (last.completed_at - last.started_at).total_seconds()
        return round(last.records_processed / seconds, 1)

    def _sample(self) -> list[int]:
        """Legacy ids from all over the mapping, of those that are there."""
        rows = asked(
            "SELECT DISTINCT near.legacy_id FROM "
            f"(SELECT min(legacy_id) AS first, max(legacy_id) AS last FROM {MAPPINGS} "
            "WHERE entity_type = %s) AS ends, "
            "generate_series(0, %s) AS step, "
            f"LATERAL (SELECT legacy_id FROM {MAPPINGS} WHERE entity_type = %s "
            "AND legacy_id >= (first + (last::numeric - first) * step / %s)::bigint "
            "ORDER BY legacy_id LIMIT 1) AS near ORDER BY 1",
            self.entity.name,
            LOOKUPS - 1,
            self.entity.name,
            LOOKUPS - 1,
        )
        return [legacy_id for (legacy_id,) in rows]

    def _lookup_ms(self, ids: list[int]) -> float:
        taken = []
        for legacy_id in ids:
            began = time.perf_counter()
            list(self._looked_up(legacy_id))
            taken.append(time.perf_counter() - began)
        return round(statistics.median(taken) * 1000, 3)

    def _by_index(self, legacy_id: int) -> bool | None:
        """None: there are so few rows that it says nothing."""
        [(rows,)] = asked(
            f"SELECT count(*) FROM (SELECT FROM {MAPPINGS} WHERE entity_type = %s LIMIT %s) AS few",
            self.entity.name,
            self.thresholds.index_from,
        )
        if rows < self.thresholds.index_from:
            return None
        return INDEX in self._looked_up(legacy_id).explain()

    def _looked_up(self, legacy_id: int) -> QuerySet[LegacyIdMapping, Any]:
        return LegacyIdMapping.objects.filter(
            entity_type=self.entity.name, legacy_id=legacy_id
        ).values_list("uuid_id")


def judged(measured: dict[str, Any], thresholds: Thresholds) -> list[str]:
    """What is too slow, in words. What wasn't measured isn't judged."""
    rate, taken = measured.get("rows_per_second"), measured.get("lookup_ms")
    hit_rate = measured.get("hit_rate")
    found = []
    if rate is not None and rate < thresholds.rows_per_second:
        found.append(
            f"the last load or sync made {rate:,.0f} rows/s: less than "
            f"{thresholds.rows_per_second:,.0f}"
        )
    if taken is not None and taken > thresholds.lookup_ms:
        found.append(
            f"a look-up in the mapping takes {taken:,.1f} ms: more than {thresholds.lookup_ms:,.1f}"
        )
    if measured.get("lookup_by_index") is False:
        found.append(f"a look-up in the mapping doesn't use its index {INDEX}")
    if hit_rate is not None and hit_rate < thresholds.hit_rate:
        found.append(
            f"the cache of the mapping had {hit_rate:.0%} of what was asked: less than "
            f"{thresholds.hit_rate:.0%}"
        )
    return found
