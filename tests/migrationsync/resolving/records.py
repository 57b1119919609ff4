"""Offices that differ in a chosen way, and what becomes of them."""

from __future__ import annotations

import pytest
from django.db import connections

from migrationsync.differences import Kind
from migrationsync.dispatch.models import Office
from migrationsync.entities import entities
from migrationsync.loading import load_rows
from migrationsync.models import DifferentialRecord, LegacyIdMapping
from tests.migrationsync.syncing import sync

# For what doesn't depend on the source's engine.
one_engine = pytest.mark.parametrize("source", ["sqlite"], indirect=True)
both_engines = pytest.mark.parametrize("source", ["sqlite", "postgresql"], indirect=True)

OFFICES = entities.get("offices")


class Records:
    """Office `key` of `dispatch`, made to differ by `make`."""

    def __init__(self, dispatch) -> None:
        self.dispatch = dispatch
        self.source = dispatch.source

    def migrate(self, *keys, entity="offices") -> None:
        declared = entities.get(entity)
        table = self.source.check([declared])[entity]
        load_rows(declared, self.source, table, keys, batch_name="first")

    def target(self, *keys):
        mapped = LegacyIdMapping.objects.filter(entity_type="offices", legacy_id__in=keys)
        return Office.objects.filter(pk__in=mapped.values("uuid_id"))

    def make(self, kind: Kind, key: int, *, is_contested: bool = False) -> None:
        """Makes one record of the kind: the source says Celle, the target Hamburg."""
        dispatch = self.dispatch
        if kind is Kind.EXTRA:
            self.migrate_extra()
            return
        dispatch.add_offices(key)
        if kind is Kind.QUARANTINED:
            dispatch.change(key, column="active", to="?")
            self.migrate(key)
            dispatch.change(key, column="active", to="Y")
            return
        if kind is Kind.MISSING:
            return
        self.migrate(key)
        if kind in (Kind.SOURCE_CHANGED, Kind.BOTH_CHANGED) or (
            kind is Kind.DELETED_IN_TARGET and is_contested
        ):
            dispatch.change(key)
        if kind in (Kind.TARGET_CHANGED, Kind.BOTH_CHANGED) or (
            kind is Kind.DELETED_IN_SOURCE and is_contested
        ):
            self.target(key).update(name="Hamburg")
        if kind in (Kind.DELETED_IN_SOURCE, Kind.DELETED_IN_BOTH):
            dispatch.remove(key)
        if kind in (Kind.DELETED_IN_TARGET, Kind.DELETED_IN_BOTH):
            self.target(key).delete()

    def migrate_extra(self) -> None:
        """A row that somebody made in the target."""
        now = "2024-05-02T12:00:00+00:00"
        Office.objects.create(name="Jena", created_at=now, updated_at=now)

    def in_source(self) -> dict[int, str]:
        """Names by legacy key, of the rows that aren't marked as deleted."""
        with connections[self.source.alias].cursor() as cursor:
            cursor.execute("SELECT id, name, deleted FROM dispatch_office ORDER BY id")
            return {key: name for key, name, deleted in cursor.fetchall() if not deleted}

    def in_target(self) -> list[str]:
        return sorted(Office.objects.values_list("name", flat=True))

    def job(self, **fields):
        fields.setdefault("entities_to_sync", ["offices"])
        fields.setdefault("max_deletes", 100)
        fields.setdefault("max_deleted_percent", 100)
        return self.dispatch.job(**fields)

    def found(self, job) -> list[tuple[str, object]]:
        """What a comparison finds now: (kind, legacy id)."""
        run = sync(job, "compare")
        records = DifferentialRecord.objects.filter(differential__checkpoint__run=run)
        return [(kind, key) for kind, key in records.values_list("differential__kind", "legacy_id")]
