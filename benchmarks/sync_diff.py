"""`python -m benchmarks.sync_diff`: the differential beside reladiff and beside bare SQL.

Owns the command line, the order of the runs and the figures. What is measured and how to read
it: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.configuration import set_up
from benchmarks.figures import Target
from benchmarks.options import count

if TYPE_CHECKING:
    from benchmarks.databases import Databases

RESULTS = Path(__file__).resolve().parent / "results" / "sync_diff.json"

TARGETS = {
    "diff_speedup_over_reladiff": Target(
        6, "times", "reladiff through a mapping view / the differential", at_least=True
    ),
    "diff_vs_bare": Target(
        1.3, "times", "the differential / checksums of both sides by segment, bare SQL"
    ),
    "source_check_vs_bare": Target(
        1.3, "times", "the source against what was stored / the same, bare SQL"
    ),
    "timestamp_speedup": Target(
        20, "times", "the differential / that of an indexed column of times", at_least=True
    ),
}
# In a run each has its turn, so that what the machine does meanwhile hits all alike.
WAYS = ("differential", "bare", "source_check", "bare_source_check", "timestamp", "reladiff")


def main() -> int:
    options = _parse()
    console = Console(highlight=False)
    databases = set_up()
    from benchmarks.databases import DatabaseInUse
    from benchmarks.machine import describe

    try:
        with databases, tempfile.TemporaryDirectory(prefix="encore-reladiff-") as folder:
            report = {
                "begun_at": dt.datetime.now(dt.UTC).isoformat(),
                "machine": describe(databases.maintenance_url),
                **measure(
                    databases, console, rows=options.rows, runs=options.runs, folder=Path(folder)
                ),
            }
    except DatabaseInUse as error:
        console.print(str(error))
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    for name, target in TARGETS.items():
        verdict = "✓ met" if target.is_met(report[name]) else "✗ not met"
        bound = f"at {'least' if target.at_least else 'most'} {target.limit:g} {target.unit}"
        console.print(
            f"  {verdict:<11}{report[name]:>9.2f}  {bound:<24} {name}: {target.meaning}",
            soft_wrap=True,
        )
    console.print(f"All figures: {options.output}")
    return 0


def measure(
    databases: Databases, console: Console, *, rows: int, runs: int, folder: Path
) -> dict[str, Any]:
    """Every figure that has a target, with the seconds of each run; times are medians.

    Within `with databases:`. `folder` is empty: reladiff is installed there. Raises
    AssertionError when a way doesn't find the differences that there are.
    """
    from django.db import connections

    from benchmarks.differing import DIFFERENCES, Ways, differ, fill, install_reladiff
    from config.legacy import legacy_database
    from migrationsync.source import Source

    legacy_name = f"{databases.run_name}_legacy"
    legacy_url = _sibling(databases.run_url, legacy_name)
    target_url = _sibling(databases.run_url, databases.source_name)
    reladiff = install_reladiff(folder)
    connections.settings["benchmarked"] = legacy_database(legacy_url)
    connections.configure_settings(connections.settings)
    source = Source("benchmarked")
    seconds: dict[str, list[float]] = {way: [] for way in (*WAYS, "nothing_changed")}
    with databases.source():
        _recreate(databases.maintenance_url, legacy_name)
        try:
            fill(source, rows)
            ways = Ways(source, legacy_url, target_url, reladiff)
            for _ in range(runs):
                took, found = ways.differential()
                assert not found, f"{len(found)} differences where there are none"  # noqa: S101
                seconds["nothing_changed"].append(took)
            there = differ(source, rows)
            for run in range(1, runs + 1):
                for way in WAYS:
                    took, ids = getattr(ways, way)()
                    seconds[way].append(took)
                    console.print(f"run {run}: {way:<18}{took:>8.2f} s", soft_wrap=True)
                    if way in ("differential", "reladiff"):
                        assert ids == there, f"{way} found {len(ids)} of {DIFFERENCES}"  # noqa: S101
        finally:
            connections["benchmarked"].close()
            _drop(databases.maintenance_url, legacy_name)
    taken = {way: median(each) for way, each in seconds.items()}
    return {
        "diff_speedup_over_reladiff": taken["reladiff"] / taken["differential"],
        "diff_vs_bare": taken["differential"] / taken["bare"],
        "source_check_vs_bare": taken["source_check"] / taken["bare_source_check"],
        "timestamp_speedup": taken["differential"] / taken["timestamp"],
        "rows": rows,
        "seconds": seconds,
    }


def _sibling(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


def _recreate(maintenance_url: str, name: str) -> None:
    _drop(maintenance_url, name)
    _execute(maintenance_url, f'CREATE DATABASE "{name}"')


def _drop(maintenance_url: str, name: str) -> None:
    _execute(maintenance_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(url: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as server:
        server.execute(statement)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sync_diff",
        description="Measure the differential beside reladiff and beside bare SQL.",
    )
    parser.add_argument(
        "--rows", type=count, default=1_000_000, help="Mapped rows. Default: %(default)s."
    )
    parser.add_argument(
        "--runs", type=count, default=3, help="Runs of each way. Default: %(default)s."
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="The results file. Default: %(default)s."
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
