"""Which UUID a legacy row has: looked up in the id mapping, and kept in this process for a while.

Bounded: the least recently used of `SYNC_MAPPING_CACHE_SIZE` make room. Only what was found is
kept, and only what is committed: a transaction that writes may still be rolled back. A mapping's
UUID never changes, but a mapping can be removed, and its row be migrated anew: this process is
told by `forget`, the others find out within KEPT_SECONDS.

For one row, or a handful. Whoever has many rows joins the mapping.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TypedDict
from uuid import UUID

from cachetools import TTLCache
from django.conf import settings
from django.db import models
from django.db.models import Func

from migrationsync.models import LegacyIdMapping

KEPT_SECONDS = 60


class Statistics(TypedDict):
    """Since the process began. `hit_rate` is between 0 and 1; 0 where nothing was asked."""

    hits: int
    misses: int
    hit_rate: float
    size: int
    capacity: int


class MappingCache:
    """Safe to use from several threads; none of them waits for another one's query."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: TTLCache[tuple[str, int], UUID] = TTLCache(capacity, KEPT_SECONDS)
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    def uuids_of(self, entity_name: str, legacy_ids: Iterable[int]) -> dict[int, UUID]:
        """Of those that are mapped. At most one query, for the ones that aren't kept."""
        found: dict[int, UUID] = {}
        missing = []
        with self._lock:
            for legacy_id in dict.fromkeys(legacy_ids):
                uuid = self._kept.get((entity_name, legacy_id))
                if uuid is None:
                    missing.append(legacy_id)
                else:
                    found[legacy_id] = uuid
            self._hits += len(found)
            self._misses += len(missing)
        if missing:
            read, is_committed = _read(entity_name, missing)
            found |= read
            if is_committed and self._capacity:
                with self._lock:
                    for legacy_id, uuid in read.items():
                        self._kept[entity_name, legacy_id] = uuid
        return found

    def forget(self, entity_name: str, legacy_id: int) -> None:
        with self._lock:
            self._kept.pop((entity_name, legacy_id), None)

    def statistics(self) -> Statistics:
        with self._lock:
            self._kept.expire()
            asked = self._hits + self._misses
            return Statistics(
                hits=self._hits,
                misses=self._misses,
                hit_rate=self._hits / asked if asked else 0.0,
                size=len(self._kept),
                capacity=self._capacity,
            )


_cache = MappingCache(settings.SYNC_MAPPING_CACHE_SIZE)


def uuid_of(entity_name: str, legacy_id: int) -> UUID | None:
    """None: it isn't mapped."""
    return _cache.uuids_of(entity_name, [legacy_id]).get(legacy_id)


def forget(entity_name: str, legacy_id: int) -> None:
    """To be called when a mapping is removed, after the commit. Nothing happens where it isn't
    kept."""
    _cache.forget(entity_name, legacy_id)


def statistics() -> Statistics:
    """Of this process: each has a cache of its own."""
    return _cache.statistics()


class _HasWritten(Func):
    """Whether the transaction has written anything: what it reads may be its own then."""

    template = "(pg_current_xact_id_if_assigned() IS NOT NULL)"
    output_field = models.BooleanField()


def _read(entity_name: str, legacy_ids: list[int]) -> tuple[dict[int, UUID], bool]:
    """The mapped ones, and whether all of them are committed."""
    rows = list(
        LegacyIdMapping.objects.filter(
            entity_type=entity_name, legacy_id__in=legacy_ids
        ).values_list("legacy_id", "uuid_id", _HasWritten())
    )
    found = {legacy_id: uuid for legacy_id, uuid, _ in rows}
    return found, not any(has_written for *_, has_written in rows)
