"""Counting and reading what hangs below an episode, for as long as there is time.

A walk is a database cursor over nested loops along the index on (parent, id): its first
rows come at once whatever the tree's shape, and it goes on in slices that grow with its
pace. Each slice is under a statement time-out of the time that is left, so that the end
of the time leaves "at least so many", not an error. Owns time and counting; what is read
is the caller's SQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from django.db import OperationalError, connection, transaction

from content.models import Episode
from duplication.levels import CHILD_LEVELS, EPISODE, Level
from operations.database_errors import is_contention

FIRST_SLICE = 64
GROWTH = 4
# A slice is not begun with less time than this: it would only be cut off.
LEAST_SECONDS = 0.01

# Rows come in the order of the nested loops as they are written: the first without waiting
# for the last, and without a plan that reads a whole table because its statistics are old.
SETTINGS = {
    "transaction_read_only": "on",
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
    "enable_material": "off",
    "enable_memoize": "off",
    "jit": "off",
}


@dataclass(frozen=True)
class Count:
    """`number` is all there is if `exact`, and else what was found before the time was over."""

    number: int = 0
    exact: bool = True

    @property
    def is_none(self) -> bool:
        return self.exact and not self.number

    def __add__(self, other: Count) -> Count:
        return Count(self.number + other.number, self.exact and other.exact)

    def __str__(self) -> str:
        if self.exact:
            return f"{self.number:,}"
        return f"at least {self.number:,}" if self.number else "not counted"


@dataclass(frozen=True)
class LevelCount:
    stage: str
    rows: Count


class Clock:
    """The time there is for a preview, handed out in parts."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(self._end - time.monotonic(), 0.0)

    def part(self, share: float) -> Clock:
        """A clock for `share` of the time that is left; what it doesn't use stays here."""
        return Clock(self.left * share)


def count_levels(episode: Episode, clock: Clock) -> tuple[LevelCount, ...]:
    """The rows of each level of the episode's tree, the root's as well."""
    counts = [LevelCount(EPISODE.stage, Count(1))]
    for number, (_, level) in enumerate(CHILD_LEVELS):
        part = clock.part(1 / (len(CHILD_LEVELS) - number))
        counts.append(LevelCount(level.stage, count_rows(descent_sql(level), episode, part)))
    return tuple(counts)


def descent_sql(level: Level, columns: str = "1", more: str = "") -> str:
    """A SELECT over a level's rows below an episode, from the root down along the indexes.

    `columns` and `more` (joins) may name each level of the way by its table.
    """
    (_, top), *way = CHILD_LEVELS[: [below for _, below in CHILD_LEVELS].index(level) + 1]
    # OFFSET 0 keeps each level behind the one above it: a plan that began with a lower one
    # would read all of its table.
    below = " ".join(
        f"CROSS JOIN LATERAL (SELECT * FROM {each.table}"
        f" WHERE {each.table}.{each.parent_column} = {above.table}.id OFFSET 0) AS {each.table}"
        for above, each in way
    )
    return (
        f"SELECT {columns} FROM {top.table} {below} {more}"
        f" WHERE {top.table}.{top.parent_column} = %(episode)s"
    )


def count_rows(sql: str, episode: Episode, clock: Clock) -> Count:
    number = 0

    def add(cursor: Any) -> None:
        nonlocal number
        number += cursor.rowcount

    exact = walk("MOVE", sql, episode, clock, add)
    return Count(number, exact)


def read_rows(
    sql: str, episode: Episode, clock: Clock, visit: Callable[[list[tuple[Any, ...]]], bool]
) -> bool:
    """Hand the rows to `visit`, a slice at a time, until it answers False (it has enough).

    Returns whether all there are were read.
    """
    return walk("FETCH", sql, episode, clock, lambda cursor: visit(cursor.fetchall()))


def walk(
    verb: Literal["MOVE", "FETCH"],
    sql: str,
    episode: Episode,
    clock: Clock,
    visit: Callable[[Any], bool | None],
) -> bool:
    """Go along a query's rows until they end, `visit` answers False, or the time is over.

    Writes nothing and leaves nothing behind. Returns whether the rows ended.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            try:
                return _walk(verb, sql, episode, clock, visit, cursor)
            finally:
                # The settings go with the savepoint, as they would with a transaction.
                transaction.set_rollback(True)
    except OperationalError as error:
        if not is_contention(error):
            raise
        return False


def _walk(
    verb: str,
    sql: str,
    episode: Episode,
    clock: Clock,
    visit: Callable[[Any], bool | None],
    cursor: Any,
) -> bool:
    if not set_time_out(cursor, clock):
        return False
    changes = ", ".join("set_config(%s, %s, true)" for _ in SETTINGS)
    cursor.execute(f"SELECT {changes}", [part for pair in SETTINGS.items() for part in pair])
    cursor.execute(f"DECLARE walk NO SCROLL CURSOR FOR {sql}", {"episode": episode.pk})
    size = FIRST_SLICE
    while set_time_out(cursor, clock):
        began = time.monotonic()
        cursor.execute(f"{verb} FORWARD {size} FROM walk")
        seconds = time.monotonic() - began
        ended = cursor.rowcount < size
        if visit(cursor) is False:
            return False
        if ended:
            return True
        size = next_size(size, seconds, clock.left)
    return False


def set_time_out(cursor: Any, clock: Clock) -> bool:
    """Give the next statements the time that is left; False if there is none."""
    left = clock.left
    if left < LEAST_SECONDS:
        return False
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{left * 1000:.0f}"])
    return True


def next_size(size: int, seconds: float, left: float) -> int:
    """Larger than the last slice, and done in a quarter of the time left at its pace: what is
    lost when the time is over is the last slice."""
    fits = int(size / max(seconds, 1e-6) * left / 4)
    return max(1, min(size * GROWTH, fits))
