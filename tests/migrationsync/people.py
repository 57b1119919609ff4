"""People, of whom the target keeps more than one thing of a column: a legacy table, its target and
what was made of it.

The target's table is made by the fixture `people`, within the test's transaction.
"""

# ruff: noqa: DJ008 - nobody is shown one of them

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import models

from migrationsync.columns import Family
from migrationsync.converters import Converter
from migrationsync.entities import Column, Entity
from migrationsync.identifiers import uuid7
from migrationsync.models import DifferentialRecord, LegacyIdMapping, SynchronizationJob
from migrationsync.services.jobs import create_job
from tests.migrationsync.trees import KEYS


class Person(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    legacy_number = models.BigIntegerField(null=True, unique=True)
    name = models.CharField(max_length=20)
    search = models.CharField(max_length=20, default="")

    class Meta:
        app_label = "shelf"


@dataclass(frozen=True)
class Folded(Converter):
    reads = frozenset({Family.TEXT})
    makes = Family.TEXT
    fits = (models.CharField,)

    def convert(self, value: Any) -> str | None:
        return value.strip().lower() or None

    def inverse(self, value: Any, column: Any) -> str:
        return value


NUMBERED = {"legacy_number": Column("id"), "name": Column()}
FOLDED = {"name": Column(), "search": Column("name", Folded())}


def entity(columns, **changes) -> Entity:
    options = {"name": "people", "source": "person", "target": Person, "script": "people.ts"}
    return Entity(**{**options, "columns": columns, **changes})


class People:
    """The legacy table, empty at first, and its target."""

    def __init__(self, source, run) -> None:
        self.source = source
        self.run = run
        run(f"CREATE TABLE person (id {KEYS[source.vendor]}, name varchar(20) NOT NULL)")

    def add(self, key, name) -> None:
        self.run("INSERT INTO person (id, name) VALUES (%s, %s)", [key, name])

    def job(self, **fields) -> SynchronizationJob:
        options = {
            "job_name": f"Nightly {SynchronizationJob.objects.count() + 1}",
            "entities_to_sync": ["people"],
            "max_failed_percent": 100,
            "by": None,
        }
        return create_job(source_alias=self.source.alias, **{**options, **fields})

    def both_ways(self) -> SynchronizationJob:
        return self.job(sync_direction="bidirectional", conflict_resolution="manual")

    def in_source(self) -> dict[int, str]:
        return dict(self.run("SELECT id, name FROM person"))

    def target(self, key) -> Any:
        """As a queryset, to be changed."""
        mapping = LegacyIdMapping.objects.get(entity_type="people", legacy_id=key)
        return Person.objects.filter(pk=mapping.uuid_id)

    def outcomes(self, run) -> list[tuple[str, str]]:
        """How each record of a run ended."""
        records = DifferentialRecord.objects.filter(differential__checkpoint__run=run)
        return list(records.order_by("pk").values_list("state", "outcome"))
