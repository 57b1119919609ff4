"""`python -m benchmarks.sync`: a legacy table brought over and compared, beside other ways to.

Owns the command line and the results file. What is measured and how to read it:
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.configuration import set_up
from benchmarks.options import count
from benchmarks.report import verdicts, write
from benchmarks.sync_figures import (
    COMPARISONS,
    LOADS,
    TARGETS,
    UNCHANGED,
    Measured,
    figures,
)

RESULTS = Path(__file__).resolve().parent / "results" / "sync.json"
SIZES = "100000,1000000"
LEAST_SIZE = 4_000


def main() -> int:
    options = _parse()
    console = Console(highlight=False)
    databases = set_up()

    # These need the settings.
    from benchmarks.databases import DatabaseInUse
    from benchmarks.legacies import Legacy
    from benchmarks.machine import describe
    from benchmarks.sync_diff import compare
    from benchmarks.sync_load import load

    report: dict[str, Any] = {
        "begun_at": dt.datetime.now(dt.UTC).isoformat(),
        "machine": describe(databases.maintenance_url),
        "sizes": options.sizes,
        "runs": options.runs,
    }
    measured: list[Measured] = []
    try:
        with databases, tempfile.TemporaryDirectory(prefix="encore-reladiff-") as folder:
            reladiff = None if options.without_reladiff else Path(folder)
            for size in options.sizes:
                with Legacy(databases) as legacy:
                    measured += load(legacy, size, runs=options.runs, console=console)
                with Legacy(databases) as legacy:
                    measured += compare(
                        legacy, size, runs=options.runs, console=console, reladiff=reladiff
                    )
    except DatabaseInUse as error:
        console.print(str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted: no results.")
        return 128 + signal.SIGINT
    by_size = {str(size): figures(measured, size) for size in options.sizes}
    found = by_size[str(max(options.sizes))]
    report |= {
        **found,
        "targets": verdicts(TARGETS, found),
        "by_size": by_size,
        "measured": [asdict(each) for each in measured],
    }
    write(options.output, report)
    _show(console, measured, report)
    console.print(f"All figures: {options.output}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sync",
        description="Measure loading and comparing a legacy table beside bare SQL and others.",
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=SIZES,
        help=f"Numbers of rows, at least {LEAST_SIZE:,} each. Default: %(default)s.",
    )
    parser.add_argument(
        "--runs", type=count, default=3, help="Runs of each way. Default: %(default)s."
    )
    parser.add_argument(
        "--without-reladiff",
        action="store_true",
        help="Leave reladiff out: it is installed from PyPI, beside Encore, for each benchmark.",
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="The results file. Default: %(default)s."
    )
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    sizes = [int(size) for size in text.split(",")]
    if any(size < LEAST_SIZE for size in sizes):
        raise argparse.ArgumentTypeError(f"sizes are at least {LEAST_SIZE:,}: {text}")
    return sizes


def _show(console: Console, measured: list[Measured], report: dict[str, Any]) -> None:
    table = Table(title="Medians", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("rows", "seconds", "rows/s", "peak MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for size in report["sizes"]:
        for way in (*LOADS, UNCHANGED, *COMPARISONS):
            runs = [each for each in measured if (each.way, each.size) == (way, size)]
            if not runs:
                continue
            seconds = median(each.seconds for each in runs)
            peaks = [each.peak_rss_mb for each in runs if each.peak_rss_mb is not None]
            table.add_row(
                way,
                f"{runs[0].rows:,}",
                f"{seconds:.2f}",
                f"{runs[0].rows / seconds:,.0f}",
                f"{median(peaks):.0f}" if peaks else "",
            )
        table.add_section()
    console.print(table)
    for name, target in TARGETS.items():
        of_sizes = [report["by_size"][str(size)][name] for size in report["sizes"]]
        shown = ", ".join("–" if value is None else f"{value:.2f}" for value in of_sizes)
        bound = f"{target.bound} {target.unit}"
        console.print(
            f"  {target.words(report[name]):<15}{shown:>15}  {bound:<18} {name}: {target.meaning}",
            soft_wrap=True,
        )


if __name__ == "__main__":
    sys.exit(main())
