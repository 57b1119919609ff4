"""Tickets: a target with everything that a load has to mind at once. Its table is made by the
fixture `tickets`, within the test's transaction.
"""

# ruff: noqa: DJ008 - nobody is shown one of them

from __future__ import annotations

import secrets
import uuid

from django.db import models

from migrationsync.entities import Column, Entity
from migrationsync.identifiers import uuid7
from migrationsync.loading import prepare, write
from migrationsync.models import LegacyIdMapping, QuarantinedRow

TEXT = {"postgresql": "text", "mysql": "longtext", "sqlite": "text"}
JSON = {"postgresql": "json", "mysql": "json", "sqlite": "json"}


class Ticket(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    title = models.CharField(max_length=20, blank=True)
    # Unique values of every kind that the source has.
    code = models.CharField(max_length=12, unique=True)
    seat = models.PositiveSmallIntegerField(unique=True, null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, unique=True, default=0)
    day = models.DateField()
    hall = models.PositiveIntegerField()
    extras = models.JSONField(null=True)
    # What the source doesn't have.
    token = models.UUIDField(default=uuid.uuid4, unique=True)
    secret = models.CharField(max_length=64, default=secrets.token_hex)
    notes = models.JSONField(default=dict)
    state = models.CharField(max_length=8, default="new")

    class Meta:
        app_label = "shelf"
        constraints = [
            models.UniqueConstraint(name="ticket_once_a_day", fields=["hall", "day"]),
            models.UniqueConstraint(
                name="ticket_one_title", fields=["title"], condition=models.Q(hall=99)
            ),
        ]


def entity(**changes) -> Entity:
    options = {
        "name": "tickets",
        "source": "ticket",
        "target": Ticket,
        "script": "ticket-migration.ts",
        "columns": {
            name: Column() for name in ("title", "code", "seat", "price", "day", "hall", "extras")
        },
    }
    return Entity(**{**options, **changes})


class Tickets:
    """The legacy table and its target, both empty at first."""

    def __init__(self, source, run, json=JSON) -> None:
        self.source = source
        self.run = run
        run(
            "CREATE TABLE ticket (id integer NOT NULL PRIMARY KEY, title varchar(20), "
            "code varchar(12), seat integer, price decimal(6, 2), day date, hall integer, "
            f"extras {json[source.vendor]})"
        )

    def add(self, *keys, **columns) -> None:
        """Each with values of its own, but for those that are given."""
        for key in keys:
            row = {
                "title": f"Ticket {key}",
                "code": f"T{key}",
                "seat": key,
                "price": key,
                "day": "2024-05-02",
                "hall": key,
                "extras": None,
                **columns,
            }
            self.run(
                f"INSERT INTO ticket (id, {', '.join(row)}) VALUES (%s{', %s' * len(row)})",
                [key, *row.values()],
            )

    def set(self, key, **columns) -> None:
        sets = ", ".join(f"{name} = %s" for name in columns)
        self.run(f"UPDATE ticket SET {sets} WHERE id = %s", [*columns.values(), key])

    def load(self, *, declared=None, after=None, size=1000, in_sql=True, **options):
        declared = declared or entity()
        table = self.source.check([declared])[declared.name]
        batch = prepare(declared, self.source, table, after=after, size=size, in_sql=in_sql)
        return write(batch, batch_name=uuid.uuid4().hex, **options)

    def target(self, key) -> Ticket:
        return Ticket.objects.get(pk=self.mapping(key).uuid_id)

    def mapping(self, key) -> LegacyIdMapping:
        return LegacyIdMapping.objects.get(entity_type="tickets", legacy_id=key)

    def values(self, column) -> dict:
        """By the legacy keys."""
        rows = {row.pk: getattr(row, column) for row in Ticket.objects.all()}
        return {
            row.legacy_id: rows[row.uuid_id]
            for row in LegacyIdMapping.objects.filter(entity_type="tickets")
        }

    def refused(self) -> dict[int, list[dict[str, str]]]:
        rows = QuarantinedRow.objects.filter(entity_type="tickets", resolved_at=None)
        return {row.legacy_id: row.reasons for row in rows}
