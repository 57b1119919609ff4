"""`python -m benchmarks.watchers`: a thousand websockets on one web process.

Owns the command line and the results file. What is measured and how to read it:
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.configuration import set_up
from benchmarks.latency import median_p95_ms
from benchmarks.options import blocks, count
from benchmarks.report import Target, write
from benchmarks.sockets import TooFewFiles, allow_open_files
from benchmarks.sources import Source

if TYPE_CHECKING:
    from benchmarks.watching import Watched

RESULTS = Path(__file__).resolve().parent / "results" / "watchers.json"
TARGET = Target(1.5, "times", "p95 from commit to client, Encore / bare consumer")
NAMES = {"ours": "Encore", "bare": "bare consumer"}


def main() -> int:
    options = _parse()
    console = Console(highlight=False)
    try:
        allow_open_files(options.sockets)
    except TooFewFiles as error:
        console.print(str(error))
        return 1
    databases = set_up()

    # These need the settings.
    from django.conf import settings

    from benchmarks.databases import DatabaseInUse
    from benchmarks.machine import describe
    from benchmarks.watching import WatchingComparison

    comparison = WatchingComparison(
        databases, console, sockets=options.sockets, lanes=options.lanes
    )
    report: dict[str, Any] = {
        "begun_at": dt.datetime.now(dt.UTC).isoformat(),
        "machine": describe(databases.maintenance_url),
        "channel_layer": settings.CHANNEL_LAYERS["default"]["BACKEND"],
        "sockets": options.sockets,
        "blocks": options.blocks,
        "lanes": options.lanes,
        "runs": options.runs,
    }
    try:
        with databases:
            comparison.compare(Source("balanced", options.blocks), runs=options.runs)
    except DatabaseInUse as error:
        console.print(str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted: no results.")
        return 128 + signal.SIGINT
    ratio = p95_ratio(comparison.measurements)
    report |= {
        "p95_ratio": ratio,
        **TARGET.verdict(ratio),
        "measurements": [asdict(measurement) for measurement in comparison.measurements],
    }
    write(options.output, report)
    _show(console, comparison.measurements, ratio, options.sockets)
    console.print(f"All figures: {options.output}")
    return 0


def p95_ratio(measurements: list[Watched]) -> float:
    """The median p95 of our runs / that of the bare consumer's."""
    ours, bare = (
        median_p95_ms([m.latency for m in measurements if m.way == way]) for way in ("ours", "bare")
    )
    return ours / bare


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.watchers",
        description="Measure how soon events reach many websockets, beside a bare consumer.",
    )
    parser.add_argument(
        "--sockets", type=count, default=1_000, help="On one web process. Default: %(default)s."
    )
    parser.add_argument(
        "--blocks",
        type=blocks,
        default=500_000,
        help="Size of the duplication that runs meanwhile. Default: %(default)s.",
    )
    parser.add_argument("--lanes", type=count, default=2, help="Its lanes. Default: %(default)s.")
    parser.add_argument(
        "--runs", type=count, default=3, help="Runs of each way. Default: %(default)s."
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="The results file. Default: %(default)s."
    )
    return parser.parse_args()


def _show(console: Console, measurements: list[Watched], ratio: float, sockets: int) -> None:
    table = Table(
        title=f"{sockets:,} websockets on one web process, {measurements[0].events} events a run",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    for heading in ("p50 ms", "p95 ms", "p99 ms", "kB/socket", "web CPU s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for way, name in NAMES.items():
        runs = [m for m in measurements if m.way == way]
        table.add_row(
            name,
            *(
                f"{median(values):.1f}"
                for values in (
                    [m.latency.p50_ms for m in runs],
                    [m.latency.p95_ms for m in runs],
                    [m.latency.p99_ms for m in runs],
                    [m.memory_per_socket_kb for m in runs],
                    [m.web_cpu_seconds for m in runs],
                )
            ),
        )
    console.print(table)
    console.print("Every socket of Encore's saw every event, in order.")
    console.print(f"{TARGET.words(ratio)}: {TARGET.meaning} = {ratio:.2f}, {TARGET.bound}")


if __name__ == "__main__":
    sys.exit(main())
