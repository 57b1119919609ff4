"""What a source's table really is: its columns and its key, read from the engine's catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.columns import Family, SourceColumn
from migrationsync.names import quoted, quoted_table


@dataclass(frozen=True)
class Table:
    """A table or view by its columns.

    `unique` are the columns that are unique by themselves; a null may still come often. `loose`
    are those that hold values of any type, whatever they were declared as: SQLite's.
    """

    name: str
    columns: Mapping[str, SourceColumn]
    unique: frozenset[str]
    is_view: bool
    loose: frozenset[str] = frozenset()

    def is_untyped(self, name: str) -> bool:
        """Whether the column's type says nothing of its values: each is looked at by itself."""
        return name in self.loose and self.columns[name].family is Family.OTHER

    def promises(self, key: str) -> bool:
        """Whether the engine itself keeps `key` an integer, never null and never twice."""
        column = self.columns[key]
        return key in self.unique and key not in self.loose and not column.is_nullable


def read_table(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    """The table as it is now; None where there is none that this user may see.

    `name` may begin with a schema's (on MySQL, a database's): “billing.invoice”.
    """
    return _READERS[connection.vendor](connection, name)


_FAMILIES: dict[str, dict[str, Family]] = {
    "postgresql": {
        **dict.fromkeys(("int2", "int4", "int8"), Family.INTEGER),
        **dict.fromkeys(("text", "varchar", "bpchar", "name", "char"), Family.TEXT),
        **dict.fromkeys(("json", "jsonb"), Family.JSON),
        **dict.fromkeys(("float4", "float8"), Family.FLOAT),
        "numeric": Family.DECIMAL,
        "bool": Family.BOOLEAN,
        "date": Family.DATE,
        "timestamp": Family.DATETIME,
        "timestamptz": Family.INSTANT,
        "time": Family.TIME,
        "interval": Family.DURATION,
        **dict.fromkeys(("inet", "cidr"), Family.ADDRESS),
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
        "time": Family.TIME,
        **dict.fromkeys(("inet4", "inet6"), Family.ADDRESS),
        "json": Family.JSON,
        "uuid": Family.UUID,
    },
    # By the first word of the type, where that says more than its affinity; see `_affinity`.
    "sqlite": {
        **dict.fromkeys(("decimal", "numeric"), Family.DECIMAL),
        **dict.fromkeys(("bool", "boolean"), Family.BOOLEAN),
        **dict.fromkeys(("datetime", "timestamp"), Family.DATETIME),
        "date": Family.DATE,
        "time": Family.TIME,
        "json": Family.JSON,
        "uuid": Family.UUID,
    },
}

# PostgreSQL calls the array of a type by its name; one of a type that is made here (an enum) comes
# as a text that only it can read.
_ITEMS = {f"_{kind}": family for kind, family in _FAMILIES["postgresql"].items()}
_FAMILIES["postgresql"] |= dict.fromkeys(_ITEMS, Family.ARRAY)

# https://www.sqlite.org/datatype3.html#determination_of_column_affinity: the first that is in
# the type's name decides.
_AFFINITIES = (
    (("int",), Family.INTEGER),
    (("char", "clob", "text"), Family.TEXT),
    (("blob",), Family.BINARY),
    (("real", "floa", "doub"), Family.FLOAT),
)

# A domain is read as what it is made of, at whatever depth; a text of another name (citext) and
# an enum as texts. A deferrable unique index may be broken within a transaction, but nobody else
# ever sees that.

_PG_COLUMNS = """
WITH RECURSIVE made_of AS (
    SELECT a.attnum, t.oid, a.atttypmod AS modifier, a.attnotnull AS is_required
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT m.attnum, t.typbasetype, t.typtypmod, m.is_required OR t.typnotnull
    FROM made_of m JOIN pg_type t ON t.oid = m.oid WHERE t.typtype = 'd'
)
SELECT a.attname, declared.typname,
       CASE WHEN t.typcategory = 'E' OR t.typcategory = 'S' AND t.typname NOT IN
                ('varchar', 'bpchar') THEN 'text' ELSE t.typname END,
       NOT m.is_required, c.relkind,
       CASE WHEN t.typname IN ('varchar', 'bpchar') AND m.modifier > 0 THEN m.modifier - 4 END,
       CASE WHEN t.typname = 'numeric' AND m.modifier > 0 THEN (m.modifier - 4) & 2047
            WHEN t.typname IN ('timestamp', 'timestamptz') THEN coalesce(nullif(m.modifier, -1), 6)
       END,
       a.atthasdef OR a.attidentity <> '',
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
               AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
FROM made_of m JOIN pg_type t ON t.oid = m.oid AND t.typtype <> 'd'
JOIN pg_attribute a ON a.attrelid = to_regclass(%s) AND a.attnum = m.attnum
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type declared ON declared.oid = a.atttypid
ORDER BY a.attnum"""

_MYSQL_COLUMNS = """
SELECT c.column_name, c.data_type, c.is_nullable = 'YES', t.table_type,
       c.character_maximum_length, coalesce(c.numeric_scale, c.datetime_precision),
       c.column_default IS NOT NULL OR c.extra LIKE '%%auto_increment%%'
       OR c.extra LIKE '%%GENERATED%%',
       EXISTS (SELECT 1 FROM information_schema.statistics s
               WHERE s.table_schema = c.table_schema AND s.table_name = c.table_name
               AND s.non_unique = 0
               GROUP BY s.index_name
               HAVING count(*) = 1 AND max(s.column_name) = c.column_name)
FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = coalesce(%s, database()) AND c.table_name = %s
ORDER BY c.ordinal_position"""


class _Row(NamedTuple):
    """A column as a catalogue has it. `kind` is the type that decides, `declared` its name."""

    name: str
    declared: str
    kind: str
    is_nullable: bool
    length: int | None
    places: int | None
    has_default: bool
    is_unique: bool
    is_loose: bool = False


def _postgresql(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    with connection.cursor() as cursor:
        cursor.execute(_PG_COLUMNS, [quoted_table(name, "postgresql")] * 2)
        rows = cursor.fetchall()
    is_view = any(row[4] in ("v", "m", "f") for row in rows)
    return _table("postgresql", name, is_view, [_Row(*row[:4], *row[5:]) for row in rows])


def _mysql(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    database, _, table = name.rpartition(".")
    with connection.cursor() as cursor:
        cursor.execute(_MYSQL_COLUMNS, [database or None, table])
        rows = cursor.fetchall()
    is_view = any(row[3] == "VIEW" for row in rows)
    return _table(
        "mysql", name, is_view, [_Row(row[0], row[1], *row[1:3], *row[4:]) for row in rows]
    )


# Of PRAGMA table_xinfo: of no hidden column but these can be read: virtual and stored ones that
# are generated.
_SHOWN, _GENERATED = (0, 2, 3), (2, 3)


def _sqlite(connection: BaseDatabaseWrapper, name: str) -> Table | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT type = 'view', sql FROM sqlite_master WHERE name = %s", [name])
        is_view, made_by = cursor.fetchone() or (False, "")
        cursor.execute(f"PRAGMA table_xinfo({quoted(name, 'sqlite')})")
        columns = [row for row in cursor.fetchall() if row[6] in _SHOWN]
        cursor.execute(f"PRAGMA index_list({quoted(name, 'sqlite')})")
        unique = {column[1] for column in columns if column[5]} if _keys(columns) == 1 else set()
        # Of an index: its name, whether it is unique, and whether it is of some rows only.
        for _, index, is_unique, _, is_partial in cursor.fetchall():
            cursor.execute(f"PRAGMA index_info({quoted(index, 'sqlite')})")
            indexed = [row[2] for row in cursor.fetchall()]
            if is_unique and not is_partial and len(indexed) == 1:
                unique.update(indexed)
    without_rowid, is_strict = _options(made_by or "")
    rows = []
    for _, column, type_, is_required, default, is_key, hidden in columns:
        declared = _GENERATED_ALWAYS.sub("", type_)
        kind, length, places = _declared(declared)
        is_text = _sqlite_family(kind) is Family.TEXT
        # Another name of the row's number: SQLite itself keeps it an integer.
        is_row_number = (
            bool(is_key)
            and _keys(columns) == 1
            and declared.strip().lower() == "integer"
            and not without_rowid
        )
        rows.append(
            _Row(
                column,
                declared.strip(),
                kind,
                # A key of any other kind may be null, but for a table without row numbers.
                not (is_required or is_row_number or (is_key and without_rowid)),
                length if is_text else None,
                None if is_text or length is None else places or 0,
                default is not None or hidden in _GENERATED,
                column in unique,
                not (is_row_number or (is_strict and kind != "any")),
            )
        )
    return _table("sqlite", name, bool(is_view), rows)


_READERS = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}

_DECLARED = re.compile(r"\s*(\w[\w ]*)?(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")
# SQLite has the words as part of the type.
_GENERATED_ALWAYS = re.compile(r"\s*\bgenerated always\b\s*", re.IGNORECASE)


def _declared(declared: str) -> tuple[str, int | None, int | None]:
    """SQLite's “Decimal(10, 2)” as ("decimal", 10, 2)."""
    found = _DECLARED.match(declared)
    assert found is not None  # noqa: S101 - all of it is optional
    name, length, places = found.groups()
    return (
        (name or "").strip().lower(),
        int(length) if length else None,
        int(places) if places else None,
    )


def _options(made_by: str) -> tuple[bool, bool]:
    """Whether a table of SQLite is WITHOUT ROWID, and STRICT: what is behind its columns."""
    options = made_by.rpartition(")")[2].lower()
    return "without" in options, "strict" in options


def _sqlite_family(kind: str) -> Family:
    """What was meant by the name of a type, else what SQLite's rules make of it. Those make
    numbers of all that they don't know (“STRING”, “MONEY”), but texts stay texts there: it says
    nothing."""
    meant = _FAMILIES["sqlite"].get(kind.partition(" ")[0])
    if meant is not None:
        return meant
    affinities = (family for signs, family in _AFFINITIES if any(each in kind for each in signs))
    return next(affinities, Family.OTHER)


def _keys(columns: list[tuple[Any, ...]]) -> int:
    return sum(1 for column in columns if column[5])


def _table(vendor: str, name: str, is_view: bool, rows: Sequence[_Row]) -> Table | None:
    if not rows:
        return None
    columns = {
        row.name: SourceColumn(
            name=row.name,
            family=(
                _sqlite_family(row.kind)
                if vendor == "sqlite"
                else _FAMILIES[vendor].get(row.kind, Family.OTHER)
            ),
            declared=row.declared,
            is_nullable=bool(row.is_nullable),
            length=row.length if isinstance(row.length, int) else None,
            places=row.places if isinstance(row.places, int) else None,
            has_default=bool(row.has_default),
            items=_ITEMS.get(row.kind) if vendor == "postgresql" else None,
        )
        for row in rows
    }
    return Table(
        name,
        columns,
        frozenset(row.name for row in rows if row.is_unique),
        is_view=is_view,
        loose=frozenset(row.name for row in rows if row.is_loose),
    )
