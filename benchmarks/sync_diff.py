"""The differential, beside bare SQL and reladiff, on the same mapped rows, run after run in turn.

Owns the order of the runs, and that every way that tells differences finds those there are.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from django.db import connection, connections
from rich.console import Console

from benchmarks.differing import Ways, differ, fill, install_reladiff
from benchmarks.legacies import ALIAS, Legacy
from benchmarks.processes import differ_in_process
from benchmarks.sync_figures import (
    COMPARISONS,
    DIFFERENTIAL,
    RELADIFF,
    SOURCE_CHECK,
    SOURCE_SUMS,
    SUMS,
    TIMESTAMP,
    UNCHANGED,
    Measured,
)


class DifferencesLost(Exception):
    """A way of comparing found other differences than there are; its time would mean nothing."""


def compare(
    legacy: Legacy, size: int, *, runs: int, console: Console, reladiff: Path | None
) -> list[Measured]:
    """`reladiff` is an empty folder in which to install it; None leaves it out. Raises
    DifferencesLost."""
    with console.status(f"Making {size:,} mapped products"):
        with legacy.databases.source():
            fill(legacy.source, size)
        legacy.databases.restore()
    comparison = _Comparison(legacy, size, console, reladiff and install_reladiff(reladiff))
    for run in range(1, runs + 1):
        comparison.run(UNCHANGED, run)
    comparison.there = differ(legacy.source, size)
    # Neither side's database is what is measured: the changes are on its disk.
    for run in range(1, runs + 1):
        for way in COMPARISONS:
            if way != RELADIFF or reladiff:
                comparison.run(way, run)
    connection.close()
    return comparison.measured


class _Comparison:
    def __init__(self, legacy: Legacy, size: int, console: Console, reladiff: Path | None) -> None:
        self.there: set[int] = set()
        self.measured: list[Measured] = []
        self._size = size
        self._console = console
        ways = Ways(legacy.source, legacy.url, legacy.databases.run_url, reladiff)
        self._ways = {
            SUMS: ways.sums,
            SOURCE_CHECK: ways.source_check,
            SOURCE_SUMS: ways.source_sums,
            TIMESTAMP: ways.timestamp,
            RELADIFF: ways.reladiff,
        }

    def run(self, way: str, run: int) -> None:
        with self._console.status(f"{self._size:,} products: {way}, run {run}"):
            found: set[int] | None
            peak = None
            if way in (DIFFERENTIAL, UNCHANGED):
                connections[ALIAS].close()
                with multiprocessing.get_context("spawn").Pool(1) as process:
                    seconds, found, peak = process.apply(differ_in_process)
            else:
                seconds, found = self._ways[way]()
        if way in (DIFFERENTIAL, UNCHANGED, RELADIFF) and found != self.there:
            raise DifferencesLost(
                f"{way}: found {len(found or ())} where {len(self.there)} differ."
            )
        self.measured.append(Measured(way, self._size, run, self._size, seconds, peak))
        self._console.print(f"{self._size:,} products: {way}, run {run}: {seconds:.2f} s")
