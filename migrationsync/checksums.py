"""What a row's checksum is taken over, in the SQL of the engine that holds the row.

Owns the one definition that loading stores and comparing computes again: the columns, their
order, and how each is written. A checksum is only ever compared with an earlier one of the same
row by the same engine, so values are written in the engine's own way, not in that of
`migrationsync.normal`: quicker to make, and nothing is lost in it (infinity, a year before
Christ, JSON, a float's last digit). No setting of a session changes it. Percent signs are
single: double them in a statement that has parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from migrationsync import normal
from migrationsync.columns import Family, SourceColumn
from migrationsync.entities import Entity
from migrationsync.names import quoted
from migrationsync.source.schema import Table

# PostgreSQL sends a row's values as bytes, with the numbers of their types: those that a schema
# change or a restore may alter are cast away.
_FORMS: dict[str, dict[Family, str]] = {
    "postgresql": {
        **dict.fromkeys((Family.TEXT, Family.OTHER), "({e})::text"),
        Family.INTEGER: "({e})::bigint",
    },
    "mysql": {
        # A sum of each: nothing that is in a value is taken for a null or for its end, and however
        # long some are, together they are no longer than the server lets a value be.
        Family.TEXT: "md5(convert({e} USING utf8mb4))",
        Family.BINARY: "md5({e})",
        Family.JSON: "md5(cast({e} AS char))",
        # A FLOAT is written with six digits, a DOUBLE with all it has.
        Family.FLOAT: "cast({e} + 0e0 AS char)",
    },
    "sqlite": {},
}
_FORM = {
    "postgresql": "{e}",
    "mysql": "cast({e} AS char)",
    # A column of SQLite holds values of any type, whatever it was declared as.
    "sqlite": "quote({e})",
}


def source_sql(entity: Entity, table: Table, vendor: str, prefix: str = "") -> str:
    """The checksum of a source's row: over `entity.source_columns` in their order, so the key is
    in it. `prefix` comes before every column's name, such as "s."."""
    columns = [table.columns[name] for name in entity.source_columns]
    return _checksum(vendor, columns, prefix)


def target_sql(entity: Entity, prefix: str = "") -> str:
    """The checksum of a target's row: over its key and the fields that the declaration fills, in
    its order. Of a foreign key it is the UUID."""
    options = entity.target._meta
    fields = [options.pk, *(options.get_field(name) for name in entity.columns)]
    columns = [_target_column(field) for field in fields if isinstance(field, models.Field)]
    return _checksum("postgresql", columns, prefix)


def _checksum(vendor: str, columns: Sequence[SourceColumn], prefix: str) -> str:
    forms = [
        _FORMS[vendor]
        .get(column.family, _FORM[vendor])
        .format(e=prefix + quoted(column.name, vendor))
        for column in columns
    ]
    if vendor == "postgresql":
        return f"md5(record_send(ROW({', '.join(forms)})))"
    return normal.checksum_sql(vendor, forms)


# The first that the field is one of. A DateTimeField is a DateField too.
_TARGET_FAMILIES: tuple[tuple[type[models.Field[Any, Any]], Family], ...] = (
    (models.IntegerField, Family.INTEGER),
    (models.CharField, Family.TEXT),
    (models.TextField, Family.TEXT),
    (models.UUIDField, Family.UUID),
    (models.ForeignKey, Family.UUID),
    (models.DecimalField, Family.DECIMAL),
    (models.BooleanField, Family.BOOLEAN),
    (models.DateTimeField, Family.INSTANT),
    (models.DateField, Family.DATE),
    (models.JSONField, Family.JSON),
    (models.FloatField, Family.FLOAT),
    (models.DurationField, Family.DURATION),
    (models.BinaryField, Family.BINARY),
    (ArrayField, Family.ARRAY),
)


def _target_column(field: models.Field[Any, Any]) -> SourceColumn:
    found = (family for kind, family in _TARGET_FAMILIES if isinstance(field, kind))
    return SourceColumn(field.column or field.name, next(found, Family.OTHER), "")
