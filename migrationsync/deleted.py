"""Which of a source's rows are marked as deleted, in the source's SQL.

The same answer as `Entity.is_deleted` gives for a value, for every family of columns.
"""

from __future__ import annotations

from migrationsync.columns import Family
from migrationsync.entities import Entity
from migrationsync.names import quoted
from migrationsync.source.schema import Table

_NUMBERS = frozenset({Family.BOOLEAN, Family.INTEGER, Family.DECIMAL, Family.FLOAT})
_TIMES = frozenset({Family.DATE, Family.DATETIME, Family.INSTANT})
_NO = "('n', 'no', 'f', 'false')"
# What a text may be made of and still say nothing: '0', '0000-00-00 00:00:00', ' '.
_NOTHING = "0-: ."


def deleted_sql(entity: Entity, table: Table, vendor: str, prefix: str = "") -> str | None:
    """A condition that is true or false, never null; None where the entity declares no mark."""
    if not entity.deleted:
        return None
    column = prefix + quoted(entity.deleted, vendor)
    return _ENGINES[vendor](column, table.columns[entity.deleted].family)


def _postgresql(column: str, family: Family) -> str:
    if family in _TIMES:
        return f"{column} IS NOT NULL"
    if family is Family.BOOLEAN:
        return f"coalesce({column}, false)"
    if family in _NUMBERS:
        return f"coalesce({column} <> 0, false)"
    if family is Family.BINARY:
        return f"coalesce({column} <> '\\x00', false)"
    text = f"lower(btrim({column}::text))"
    return f"coalesce(btrim({text}, '{_NOTHING}') <> '' AND {text} NOT IN {_NO}, false)"


def _mysql(column: str, family: Family) -> str:
    if family in _NUMBERS:
        return f"coalesce({column} <> 0, false)"
    if family is Family.BINARY:
        # A bit, too.
        return f"coalesce(trim('0' FROM hex({column})) <> '', false)"
    # Of times too: there is a zero date that isn't one.
    text = f"lower(trim(convert({column} USING utf8mb4)))"
    return f"coalesce({text} NOT REGEXP '^[-0: .]*$' AND {text} NOT IN {_NO}, false)"


def _sqlite(column: str, family: Family) -> str:
    # What counts is the value's own type.
    text = f"lower(trim({column}))"
    return (
        f"coalesce(CASE typeof({column}) "
        f"WHEN 'text' THEN trim({text}, '{_NOTHING}') <> '' AND {text} NOT IN {_NO} "
        f"WHEN 'blob' THEN {column} <> x'00' ELSE {column} <> 0 END, 0)"
    )


_ENGINES = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}
