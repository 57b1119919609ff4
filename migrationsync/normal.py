"""The normal form: the same value is the same text, whichever side it is from.

Owns that text for one value in Python, and in each engine's SQL the checksum of a row of texts,
so that rows are compared by what each side computes for itself.

- integer: its digits; boolean: 1 or 0; decimal: with exactly `places` places
- date: 2026-03-29; datetime: 2026-03-29T02:30:00.000000; instant: the same, in UTC
- time: 02:30:00.000000; duration: its microseconds
- float: the shortest text that is read as it again; binary: hexadecimal digits
- address: all of its digits
- array: as JSON; what JSON hasn't is text
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
        case Family.ARRAY:
            return json.dumps(value, ensure_ascii=False, default=str)
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


def row_sql(vendor: str, values: Iterable[str]) -> str:
    """One text of a row, from the SQL of its values. Between them, and for a null, stands a
    character that nobody types."""
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
