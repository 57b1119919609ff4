"""What tests of giving back ask the source and the mapping, and how they act for the caller."""

from __future__ import annotations

import contextlib

from django.db import connections, transaction

from migrationsync.models import LegacyIdMapping
from tests.factories.sync import MappingFactory
from tests.migrationsync.legacies import connected


class Ledger:
    """Keeps the mapping as whoever calls `returning` does."""

    def __init__(self, source, run) -> None:
        self.source = source
        self.run = run

    def reserve(self, entity):
        """A `reserve` that stores the intents of an entity."""

        def reserve(pairs):
            for uuid, key in pairs:
                MappingFactory(
                    entity_type=entity.name,
                    uuid_id=uuid,
                    legacy_id=key,
                    checksum=LegacyIdMapping.GONE,
                    target_checksum="x",
                )

        return reserve

    def settle(self, entity, answers):
        """What the caller stores once the source has committed."""
        for each in answers:
            if not each.problem:
                LegacyIdMapping.objects.filter(entity_type=entity.name, uuid_id=each.uuid).update(
                    checksum=each.checksum, target_checksum=each.target_checksum or "gone"
                )

    def rows(self, table, *columns):
        """{key: values} of the source; of one column, {key: value}."""
        found = self.run(f"SELECT id, {', '.join(columns)} FROM {table}")
        return {key: values[0] if len(columns) == 1 else values for key, *values in found}

    @contextlib.contextmanager
    def holding(self, statement):
        """Somebody else's transaction, which did this and is undone at the end."""
        config = connections[self.source.alias].settings_dict
        with connected("holder", config), transaction.atomic(using="holder"):
            connections["holder"].cursor().execute(statement)
            yield
            transaction.set_rollback(True, using="holder")

    def from_elsewhere(self, statement, parameters=None):
        """Runs a statement over a connection of its own."""
        config = connections[self.source.alias].settings_dict
        with connected("elsewhere", config), connections["elsewhere"].cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else None
