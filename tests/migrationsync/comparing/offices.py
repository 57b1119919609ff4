"""Offices on both sides, made alike: the legacy table, its target, and the mapping between."""

from __future__ import annotations

import datetime as dt

from django.db import connection, connections

from migrationsync.checksums import source_sql, target_sql
from migrationsync.dispatch.legacy.tables import OFFICE
from migrationsync.dispatch.models import Office
from migrationsync.entities import entities
from migrationsync.identifiers import uuid7
from migrationsync.models import LegacyIdMapping, QuarantinedRow

ENTITY = entities.get("offices")
NOON = dt.datetime(2024, 5, 2, 10, tzinfo=dt.UTC)


class Offices:
    """`legacy` is a function that runs a statement in the source."""

    def __init__(self, source, legacy) -> None:
        self.source = source
        self.legacy = legacy
        self.entity = ENTITY
        legacy(OFFICE.create(source.vendor))
        self.table = source.table(OFFICE.name)

    def add(self, *keys, name="Bremen") -> None:
        """To the source only."""
        for key in keys:
            self.legacy(
                f"INSERT INTO {OFFICE.name} (id, name, city, rent, active, opened, created, "
                "modified) VALUES (%s, %s, NULL, '812.50', 'Y', '2020-02-29', "
                "'2024-05-02 12:00:00', '2024-05-02 12:00:00')",
                [key, name],
            )

    def add_both(self, *keys) -> None:
        """To both sides, alike."""
        self.add(*keys)
        self.migrate(*keys)

    def migrate(self, *keys) -> None:
        offices = {
            key: Office(
                id=uuid7(),
                name="Bremen",
                monthly_rent="812.50",
                opened_on=dt.date(2020, 2, 29),
                created_at=NOON,
                updated_at=NOON,
            )
            for key in keys
        }
        Office.objects.bulk_create(offices.values())
        checksums = self._source_checksums()
        targets = self._target_checksums()
        LegacyIdMapping.objects.bulk_create(
            LegacyIdMapping(
                entity_type=ENTITY.name,
                legacy_id=key,
                uuid_id=office.pk,
                migration_batch="test",
                source_table=OFFICE.name,
                target_table="offices",
                checksum=checksums[key],
                target_checksum=targets[office.pk],
            )
            for key, office in offices.items()
        )

    def quarantine(self, key) -> None:
        QuarantinedRow.objects.create(
            entity_type=ENTITY.name, legacy_id=key, reasons=[], data={}, migration_batch="test"
        )

    def change(self, *keys, column="name", to="Celle") -> None:
        for key in keys:
            self.legacy(f"UPDATE {OFFICE.name} SET {column} = %s WHERE id = %s", [to, key])

    def remove(self, *keys) -> None:
        for key in keys:
            self.legacy(f"DELETE FROM {OFFICE.name} WHERE id = %s", [key])

    def target(self, *keys):
        """The target's rows of these legacy keys."""
        mapped = LegacyIdMapping.objects.filter(entity_type=ENTITY.name, legacy_id__in=keys)
        return Office.objects.filter(pk__in=mapped.values("uuid_id"))

    def _source_checksums(self):
        checksum = source_sql(ENTITY, self.table, self.source.vendor)
        with connections[self.source.alias].cursor() as cursor:
            cursor.execute(f"SELECT id, {checksum} FROM {OFFICE.name}")
            return dict(cursor.fetchall())

    def _target_checksums(self):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id, {target_sql(ENTITY)} FROM offices")
            return dict(cursor.fetchall())


def found(comparison, cursor=None, size=50_000):
    """What a comparison finds, as {legacy id or "extra": kind}."""
    return [
        (each.kind.value, each.legacy_id)
        for segment in comparison.segments(cursor, size=size)
        for each in segment.differences
    ]
