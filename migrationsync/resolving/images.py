"""A row of the target as JSON, by its fields, and back: in SQL, so that nothing is lost on the way.

All of a row's columns are in an image, also those that the declaration says nothing about: a row
that was deleted comes back whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection, models

from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping
from migrationsync.names import quoted

MAPPINGS = LegacyIdMapping._meta.db_table


def name(of: str) -> str:
    return quoted(of, "postgresql")


def key_column(entity: Entity) -> str:
    return name(str(entity.target._meta.pk and entity.target._meta.pk.column))


def table(entity: Entity) -> str:
    return name(entity.target._meta.db_table)


def of_target(entity: Entity, prefix: str = "t.") -> str:
    """The image of a row of the target; null where there is none. No parameters in it."""
    columns = ", ".join(
        f"{_read(field, prefix)} AS {name(field.name)}" for field in _fields(entity)
    )
    return (
        f"CASE WHEN {prefix}{key_column(entity)} IS NOT NULL THEN "
        f"(SELECT to_jsonb(image) FROM (SELECT {columns}) AS image) END"
    )


def inserted(entity: Entity, image: dict[str, Any], sql: str) -> str:
    """Inserts the row of an image; `sql` is where the database has it."""
    fields = list(_stored(entity, image))
    columns = ", ".join(name(str(field.column)) for field in fields)
    values = ", ".join(f"image.{name(field.name)}" for field in fields)
    return f"INSERT INTO {table(entity)} ({columns}) SELECT {values} FROM {_record(fields, sql)}"


def updated(entity: Entity, image: dict[str, Any], sql: str) -> str:
    """Makes the row of the image's key as the image has it; `sql` is where the database has it."""
    fields = list(_stored(entity, image))
    key = next(field for field in fields if field.primary_key)
    sets = ", ".join(
        f"{name(str(field.column))} = image.{name(field.name)}"
        for field in fields
        if not field.primary_key
    )
    return (
        f"UPDATE {table(entity)} SET {sets} FROM {_record(fields, sql)} "
        f"WHERE {table(entity)}.{name(str(key.column))} = image.{name(key.name)}"
    )


def _record(fields: Iterable[models.Field[Any, Any]], sql: str) -> str:
    columns = ", ".join(
        f"{name(field.name)} {field.db_parameters(connection)['type']}" for field in fields
    )
    return f"jsonb_to_record({sql}) AS image ({columns})"


def _stored(entity: Entity, image: dict[str, Any]) -> Iterator[models.Field[Any, Any]]:
    """The fields that an image can fill: it may be older than the model."""
    return (field for field in _fields(entity) if field.name in image and not field.generated)


def _fields(entity: Entity) -> Iterable[models.Field[Any, Any]]:
    return entity.target._meta.concrete_fields


def _read(field: models.Field[Any, Any], prefix: str) -> str:
    column = f"{prefix}{name(str(field.column))}"
    # Python would read a number with a point as a float.
    return f"{column}::text" if isinstance(field, models.DecimalField) else column
