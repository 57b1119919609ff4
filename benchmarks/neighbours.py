"""`python -m benchmarks.neighbours`: everyday work on the content tables beside a duplication.

Owns the command line, the settings it runs with and the results file. What is measured and
how to read it: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.configuration import set_up
from benchmarks.options import blocks, count
from benchmarks.report import Target, write
from benchmarks.sharing_figures import BESIDE, UNGATED, WAYS, Figures
from benchmarks.sources import Source

RESULTS = Path(__file__).resolve().parent / "results" / "neighbours.json"
TARGET = Target(1.5, "times", "p95 beside / p95 alone")


def main() -> int:
    options = _parse()
    console = Console(highlight=False)
    databases = set_up()

    # These need the settings.
    from benchmarks.databases import DatabaseInUse
    from benchmarks.machine import describe
    from benchmarks.sharing import Gate, SharingComparison

    gate = Gate(options.share_percent, options.step_target_ms, options.max_active_sessions)
    comparison = SharingComparison(
        databases,
        console,
        gate=gate,
        per_second=options.per_second,
        alone_seconds=options.alone_seconds,
        lanes=options.lanes,
    )
    report: dict[str, Any] = {
        "begun_at": dt.datetime.now(dt.UTC).isoformat(),
        "machine": describe(databases.maintenance_url),
        "blocks": options.blocks,
        "neighbour_blocks": options.neighbour_blocks,
        "transactions_per_second": options.per_second,
        "gate": gate._asdict(),
        "lanes": options.lanes,
        "runs": options.runs,
    }
    try:
        with databases:
            comparison.compare(
                Source("balanced", options.blocks),
                neighbour=Source("balanced", options.neighbour_blocks),
                runs=options.runs,
            )
    except DatabaseInUse as error:
        console.print(str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted: no results.")
        return 128 + signal.SIGINT
    figures = Figures(comparison.worked, comparison.copied)
    ratio = figures.p95_ratio(BESIDE)
    report |= {
        "p95_ratio": ratio,
        **TARGET.verdict(ratio),
        "p95_ratio_gate_off": figures.p95_ratio(UNGATED),
        "duplication_slow_down": figures.slow_down(BESIDE),
        "duplication_slow_down_gate_off": figures.slow_down(UNGATED),
        "everyday_work": [asdict(worked) for worked in comparison.worked],
        "duplications": [asdict(copied) for copied in comparison.copied],
    }
    write(options.output, report)
    _show(console, figures, options.per_second)
    console.print(f"{TARGET.words(ratio)}: {TARGET.meaning} = {ratio:.2f}, {TARGET.bound}")
    console.print(
        f"The duplication beside it took {figures.slow_down(BESIDE):.2f} times as long as alone "
        f"with the gate off; with the gate off beside it, {figures.slow_down(UNGATED):.2f} times."
    )
    console.print(f"All figures: {options.output}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.neighbours",
        description="Measure everyday transactions alone and beside a duplication.",
    )
    numbers = {
        "--per-second": (150, "Transactions offered per second."),
        "--alone-seconds": (20, "How long they are measured alone."),
        "--lanes": (2, "The duplication's lanes."),
        "--share-percent": (16, "The gate: LOAD_SHARE_PERCENT."),
        "--step-target-ms": (50, "The gate: OPERATION_STEP_TARGET_MS."),
        "--max-active-sessions": (8, "The gate: LOAD_MAX_ACTIVE_SESSIONS."),
        "--runs": (3, "Runs of each way."),
    }
    sizes = {
        "--blocks": (1_000_000, "Size of the duplication."),
        "--neighbour-blocks": (100_000, "Size of the episode that is worked on."),
    }
    for kind, options in ((blocks, sizes), (count, numbers)):
        for name, (default, meaning) in options.items():
            parser.add_argument(
                name, type=kind, default=default, help=f"{meaning} Default: %(default)s."
            )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="The results file. Default: %(default)s."
    )
    return parser.parse_args()


def _show(console: Console, figures: Figures, per_second: int) -> None:
    table = Table(
        title=f"{per_second} transactions a second on the content tables", title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for heading in ("p50 ms", "p95", "p99", "read p95", "edit p95", "add p95", "copy s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for way in WAYS:
        every = figures.latencies(way)
        columns = [
            [latency.p50_ms for latency in every],
            [latency.p95_ms for latency in every],
            [latency.p99_ms for latency in every],
        ]
        for kind in ("read", "edit", "add"):
            columns.append([latency.p95_ms for latency in figures.latencies(way, kind)])
        table.add_row(
            way,
            *(f"{median(column):.1f}" for column in columns),
            f"{figures.copy_seconds(way):.1f}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
