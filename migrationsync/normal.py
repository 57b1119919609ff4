"""The normal form: the same value is the same text on every engine, and in Python.

Owns that text for one value and for a row, in Python and in each engine's SQL, so that rows
can be compared by checksums that each side computes for itself. A family that engines can't
write alike (JSON, floats, lengths of time) has none in SQL: it is compared in Python.

- integer: its digits; boolean: 1 or 0; decimal: with exactly `places` places
- date: 2026-03-29; datetime: 2026-03-29T02:30:00.000000; instant: the same, in UTC
- time: 02:30:00.000000; duration: its microseconds
- float: the shortest text that is read as it again; binary: hexadecimal digits
- address: all of its digits
- text and UUID: as they are; UUID in small letters with its hyphens
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import ipaddress
import json
from collections.abc import Iterable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.columns import Family

# Between the values of a row, and for a null: nobody types them.
SEPARATOR = "\x1f"
NULL = "\x1e"


def text(value: Any, family: Family, *, places: int | None = None) -> str | None:
    """The normal form of a Python value of `family`; None for a null."""
    if value is None:
        return None
    match family:
        case Family.BOOLEAN:
            return "1" if value else "0"
        case Family.DECIMAL:
            return _decimal(value, places)
        case Family.DATE:
            return str(value.isoformat())
        case Family.DATETIME:
            return _clock(value)
        case Family.INSTANT:
            return _clock(value.astimezone(dt.UTC))
        case Family.TIME:
            return str(value.isoformat(timespec="microseconds"))
        case Family.DURATION:
            return str(value // dt.timedelta(microseconds=1))
        case Family.FLOAT:
            return repr(float(value) or 0.0)
        case Family.BINARY:
            return bytes(value).hex()
        case Family.ADDRESS:
            # An address may be written in several ways.
            return ipaddress.ip_address(str(value)).exploded
        case Family.JSON:
            return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        case _:
            return str(value)


def _clock(value: dt.datetime) -> str:
    return value.replace(tzinfo=None).isoformat(timespec="microseconds")


def _decimal(value: Any, places: int | None) -> str:
    number = decimal.Decimal(value)
    if places is None:
        written = f"{number:f}"
        written = written.rstrip("0").rstrip(".") if "." in written else written
    else:
        with decimal.localcontext(prec=1000):
            unit = decimal.Decimal(1).scaleb(-places)
            written = f"{number.quantize(unit, rounding=decimal.ROUND_HALF_UP):f}"
    return written.removeprefix("-") if not number or not written.strip("-0.") else written


def row(values: Iterable[str | None]) -> str:
    """The normal form of a row, from those of its values."""
    return SEPARATOR.join(NULL if value is None else value for value in values)


def checksum(values: Iterable[str | None]) -> str:
    """A row's checksum: MD5 in hexadecimal, which every engine computes."""
    return hashlib.md5(row(values).encode(), usedforsecurity=False).hexdigest()


def sql(vendor: str, expression: str, family: Family, *, places: int | None = None) -> str | None:
    """The normal form of `expression` in the SQL of `vendor` ("postgresql", "mysql", "sqlite").

    None where it has to be made in Python. Percent signs are single: double them in a statement
    that has parameters.
    """
    form = _SQL[vendor].get(family)
    if form is None or (family is Family.DECIMAL and places is None):
        return None
    return form.format(e=f"({expression})", places=places)


def row_sql(vendor: str, values: Iterable[str]) -> str:
    """The normal form of a row, from the SQL of those of its values."""
    if vendor == "mysql":
        parts = (f"coalesce({value}, char(30 USING utf8mb4))" for value in values)
        return f"concat_ws(char(31 USING utf8mb4), {', '.join(parts)})"
    character = "chr" if vendor == "postgresql" else "char"
    parts = (f"coalesce({value}, {character}(30))" for value in values)
    return f" || {character}(31) || ".join(parts)


def checksum_sql(vendor: str, values: Iterable[str]) -> str:
    """SQL of a row's checksum. On SQLite over the bytes, whatever they are: its texts needn't be
    UTF-8, but what Django brings as MD5 wants them so (`teach_sqlite`)."""
    if vendor == "sqlite":
        return f"md5_of_bytes(cast({row_sql(vendor, values)} AS blob))"
    return f"md5({row_sql(vendor, values)})"


def teach_sqlite(connection: BaseDatabaseWrapper, **signal: Any) -> None:
    """Receives Django's `connection_created`."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("md5_of_bytes", 1, _md5, deterministic=True)


def _md5(data: bytes | None) -> str | None:
    return None if data is None else hashlib.md5(data, usedforsecurity=False).hexdigest()


_SQL: dict[str, dict[Family, str]] = {
    "postgresql": {
        Family.TEXT: "{e}::text",
        Family.UUID: "{e}::text",
        Family.INTEGER: "{e}::text",
        Family.BOOLEAN: "{e}::int::text",
        Family.DECIMAL: "round({e}::numeric, {places})::text",
        Family.DATE: "to_char({e}, 'YYYY-MM-DD')",
        Family.DATETIME: """to_char({e}, 'YYYY-MM-DD"T"HH24:MI:SS.US')""",
        Family.INSTANT: """to_char({e} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')""",
    },
    "mysql": {
        Family.TEXT: "convert({e} USING utf8mb4)",
        Family.UUID: "lower(convert({e} USING utf8mb4))",
        Family.INTEGER: "cast({e} AS char)",
        Family.BOOLEAN: "cast({e} <> 0 AS char)",
        Family.DECIMAL: "cast(cast({e} AS decimal(65, {places})) AS char)",
        Family.DATE: "date_format({e}, '%Y-%m-%d')",
        Family.DATETIME: "date_format({e}, '%Y-%m-%dT%H:%i:%s.%f')",
        # A TIMESTAMP; a session of ours is in UTC.
        Family.INSTANT: "date_format({e}, '%Y-%m-%dT%H:%i:%s.%f')",
    },
    "sqlite": {
        Family.TEXT: "cast({e} AS text)",
        Family.UUID: "lower({e})",
        Family.INTEGER: "cast({e} AS text)",
        Family.BOOLEAN: "cast({e} <> 0 AS text)",
        # + 0.0: there is a negative zero among floats.
        Family.DECIMAL: (
            "CASE WHEN {e} IS NOT NULL THEN printf('%.{places}f', round({e}, {places}) + 0.0) END"
        ),
        Family.DATE: "substr({e}, 1, 10)",
        Family.DATETIME: (
            "(replace(substr({e}, 1, 19), ' ', 'T') || '.'"
            " || substr(substr({e}, 21) || '000000', 1, 6))"
        ),
    },
}
