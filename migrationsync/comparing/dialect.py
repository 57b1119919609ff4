"""What comparing needs of each engine's SQL besides the checksum: a sum of checksums that
doesn't depend on their order, and groups of neighbouring keys.

Of a checksum the first 60 bits are summed. A sum isn't cancelled out by pairs, as XOR is, and
it stands beside a count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# Sixty bits.
_DIGITS = 15
_HALF = 30

# What PostgreSQL's planner can't know of sums over groups: there are few of them, so nothing needs
# to be sorted, and a checksum costs so much that dividing the rows among workers pays.
SUMMING = {"enable_sort": "off", "parallel_setup_cost": "0", "parallel_tuple_cost": "0"}
# And of a range of the mapping: neighbours by legacy id mostly are neighbours by UUID, so to look
# them up one by one is quick, where it would read all of the target for every range.
LOOKING_UP = {"enable_hashjoin": "off", "enable_mergejoin": "off"}
# And of two ranges of one kind of key: neither is small. Behind what ANALYZE has seen, where new
# keys in the order of time are, it expects a single row and would compare every row with all.
SIDE_BY_SIDE = {"enable_nestloop": "off"}

_SUMS = {
    "postgresql": (f"sum(('x' || left({{e}}, {_DIGITS}))::bit(60)::bigint)",),
    "mysql": (f"sum(cast(conv(left({{e}}, {_DIGITS}), 16, 10) AS unsigned))",),
    # Its sums are of 64 bits, and overflow is an error: in two halves.
    "sqlite": (
        f"sum(checksum_bits({{e}}) >> {_HALF})",
        f"sum(checksum_bits({{e}}) & {(1 << _HALF) - 1})",
    ),
}


def sums(vendor: str, checksum: str) -> str:
    """The columns to select for the sum of `checksum`; `total` reads them."""
    return ", ".join(sql.format(e=checksum) for sql in _SUMS[vendor])


def total(columns: Sequence[Any]) -> int:
    if len(columns) == 1:
        return int(columns[0])
    high, low = columns
    return (int(high) << _HALF) + int(low)


def group(vendor: str, key: str, width: int) -> str:
    """Keys that are neighbours within `width` have the same of it."""
    return f"{key} DIV {width}" if vendor == "mysql" else f"{key} / {width}"


@contextlib.contextmanager
def planned(connection: BaseDatabaseWrapper, settings: Mapping[str, str]) -> Iterator[None]:
    """PostgreSQL plans what is in here with these settings. Within a transaction, which may go on
    to other things."""
    if connection.vendor != "postgresql" or not settings:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET LOCAL {name} = {to}" for name, to in settings.items()))
    yield
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET LOCAL {name} TO DEFAULT" for name in settings))


def prepare(connection: BaseDatabaseWrapper) -> None:
    """SQLite can't read hexadecimal: it is taught to, on this connection."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("checksum_bits", 1, _bits, deterministic=True)


def _bits(checksum: str) -> int:
    return int(checksum[:_DIGITS], 16)
