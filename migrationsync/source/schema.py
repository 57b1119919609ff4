"""What a source's table really is: its columns and its key, read from the engine's catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.columns import Family, SourceColumn


@dataclass(frozen=True)
class Table:
    """A table or view by its columns. `unique` are the columns that are unique by themselves."""

    name: str
    columns: Mapping[str, SourceColumn]
    unique: frozenset[str]
    is_view: bool


def read_table(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    """The table as it is now; None where there is none that this user may see.

    `name` may begin with a schema's (on MySQL, a database's): “billing.invoice”.
    """
    return _READERS[connection.vendor](connection, name)


def quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    """A table's name, with or without its schema, as SQL writes it."""
    return ".".join(connection.ops.quote_name(part) for part in name.split("."))


_FAMILIES: dict[str, dict[str, Family]] = {
    "postgresql": {
        **dict.fromkeys(("int2", "int4", "int8"), Family.INTEGER),
        **dict.fromkeys(("text", "varchar", "bpchar", "name"), Family.TEXT),
        **dict.fromkeys(("json", "jsonb"), Family.JSON),
        **dict.fromkeys(("float4", "float8"), Family.FLOAT),
        "numeric": Family.DECIMAL,
        "bool": Family.BOOLEAN,
        "date": Family.DATE,
        "timestamp": Family.DATETIME,
        "timestamptz": Family.INSTANT,
        "uuid": Family.UUID,
        "bytea": Family.BINARY,
    },
    "mysql": {
        **dict.fromkeys(
            ("tinyint", "smallint", "mediumint", "int", "bigint", "year"), Family.INTEGER
        ),
        **dict.fromkeys(
            ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"),
            Family.TEXT,
        ),
        **dict.fromkeys(
            ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit"),
            Family.BINARY,
        ),
        **dict.fromkeys(("float", "double"), Family.FLOAT),
        "decimal": Family.DECIMAL,
        "date": Family.DATE,
        "datetime": Family.DATETIME,
        "timestamp": Family.INSTANT,
        "json": Family.JSON,
        "uuid": Family.UUID,
    },
    # SQLite holds any value in any column; what counts is what was meant.
    "sqlite": {
        **dict.fromkeys(
            ("integer", "int", "bigint", "smallint", "tinyint", "mediumint"), Family.INTEGER
        ),
        **dict.fromkeys(("text", "varchar", "char", "clob", "nvarchar", "nchar"), Family.TEXT),
        **dict.fromkeys(("real", "double", "float"), Family.FLOAT),
        **dict.fromkeys(("decimal", "numeric"), Family.DECIMAL),
        **dict.fromkeys(("bool", "boolean"), Family.BOOLEAN),
        **dict.fromkeys(("datetime", "timestamp"), Family.DATETIME),
        "date": Family.DATE,
        "json": Family.JSON,
        "uuid": Family.UUID,
        "blob": Family.BINARY,
    },
}

_PG_COLUMNS = """
SELECT a.attname, t.typname, NOT a.attnotnull, c.relkind,
       CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 0 THEN a.atttypmod - 4 END,
       CASE WHEN t.typname = 'numeric' AND a.atttypmod > 0 THEN (a.atttypmod - 4) & 2047 END,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
               AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.oid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""

_MYSQL_COLUMNS = """
SELECT c.column_name, c.data_type, c.is_nullable = 'YES', t.table_type,
       c.character_maximum_length, c.numeric_scale,
       EXISTS (SELECT 1 FROM information_schema.statistics s
               WHERE s.table_schema = c.table_schema AND s.table_name = c.table_name
               AND s.non_unique = 0
               GROUP BY s.index_name
               HAVING count(*) = 1 AND max(s.column_name) = c.column_name)
FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = coalesce(%s, database()) AND c.table_name = %s
ORDER BY c.ordinal_position"""


def _postgresql(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    with connection.cursor() as cursor:
        cursor.execute(_PG_COLUMNS, [quoted(connection, name)])
        rows = cursor.fetchall()
    return _table(
        "postgresql", name, [(*row[:3], row[3] in ("v", "m", "f"), *row[4:]) for row in rows]
    )


def _mysql(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    database, _, table = name.rpartition(".")
    with connection.cursor() as cursor:
        cursor.execute(_MYSQL_COLUMNS, [database or None, table])
        rows = cursor.fetchall()
    return _table("mysql", name, [(*row[:3], row[3] == "VIEW", *row[4:]) for row in rows])


def _sqlite(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute("SELECT type = 'view' FROM sqlite_master WHERE name = %s", [name])
        is_view = bool((cursor.fetchone() or [False])[0])
        cursor.execute(f"PRAGMA table_info({quote(name)})")
        columns = cursor.fetchall()
        cursor.execute(f"PRAGMA index_list({quote(name)})")
        unique = {column[1] for column in columns if column[5]} if _keys(columns) == 1 else set()
        # Of an index: its name, whether it is unique, and whether it is of some rows only.
        for _, index, is_unique, _, is_partial in cursor.fetchall():
            cursor.execute(f"PRAGMA index_info({quote(index)})")
            indexed = [row[2] for row in cursor.fetchall()]
            if is_unique and not is_partial and len(indexed) == 1:
                unique.update(indexed)
    rows = []
    for _, column, declared, is_required, _, is_key in columns:
        base, length, places = _declared(declared)
        is_text = _FAMILIES["sqlite"].get(base) is Family.TEXT
        rows.append(
            (
                column,
                base,
                not (is_required or is_key),
                is_view,
                length if is_text else None,
                None if is_text or length is None else places or 0,
                column in unique,
            )
        )
    return _table("sqlite", name, rows)


_READERS = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}

_DECLARED = re.compile(r"\s*(\w+)[\w ]*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")


def _declared(declared: str) -> tuple[str, int | None, int | None]:
    """SQLite's “decimal(10, 2)” as ("decimal", 10, 2)."""
    found = _DECLARED.match(declared)
    if found is None:
        return "", None, None
    base, length, places = found.groups()
    return base.lower(), int(length) if length else None, int(places) if places else None


def _keys(columns: list[tuple[object, ...]]) -> int:
    return sum(1 for column in columns if column[5])


def _table(vendor: str, name: str, rows: Sequence[tuple[object, ...]]) -> Table | None:
    """From rows of (name, type, is nullable, is a view, length, places, is unique)."""
    if not rows:
        return None
    families = _FAMILIES[vendor]
    columns = {
        str(column): SourceColumn(
            name=str(column),
            family=families.get(str(declared), Family.OTHER),
            declared=str(declared),
            is_nullable=bool(is_nullable),
            length=length if isinstance(length, int) else None,
            places=places if isinstance(places, int) else None,
        )
        for column, declared, is_nullable, _, length, places, _ in rows
    }
    unique = frozenset(str(row[0]) for row in rows if row[6])
    return Table(name, columns, unique, is_view=bool(rows[0][3]))
