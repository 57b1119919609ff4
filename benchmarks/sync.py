"""`python -m benchmarks.sync`: a legacy table brought over, beside other ways to do it.

Owns the command line and the results file. What is measured and how to read it:
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.configuration import set_up
from benchmarks.options import count
from benchmarks.sync_figures import TARGETS, WAYS, load_figures

if TYPE_CHECKING:
    from benchmarks.syncing import LoadComparison

RESULTS = Path(__file__).resolve().parent / "results" / "sync.json"
SIZES = "100000,1000000"
LEAST_SIZE = 1_000


def main() -> int:
    options = _parse()
    console = Console(highlight=False)
    databases = set_up()

    # These need the settings.
    from benchmarks.databases import DatabaseInUse
    from benchmarks.machine import describe
    from benchmarks.syncing import LoadComparison

    loading = LoadComparison(databases, console)
    report: dict[str, Any] = {
        "begun_at": dt.datetime.now(dt.UTC).isoformat(),
        "machine": describe(databases.maintenance_url),
        "sizes": options.sizes,
        "runs": options.runs,
    }
    try:
        with databases:
            loading.compare(options.sizes, runs=options.runs)
    except DatabaseInUse as error:
        console.print(str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted: no results.")
        return 128 + signal.SIGINT
    report |= _figures(loading, options.sizes)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    _show(console, loading, report)
    console.print(f"All figures: {options.output}")
    return 0


def _figures(loading: LoadComparison, sizes: list[int]) -> dict[str, Any]:
    """Of the largest size; `by_size` has all of them."""
    by_size = {str(size): load_figures(loading.loads, size) for size in sizes}
    found = by_size[str(max(sizes))]
    return {
        **found,
        "targets": {
            name: {
                "limit": target.limit,
                "met": None if (value := found[name]) is None else target.is_met(value),
            }
            for name, target in TARGETS.items()
        },
        "by_size": by_size,
        "loads": [asdict(load) for load in loading.loads],
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sync",
        description="Measure loading a legacy table beside bare SQL and the ORM.",
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
        "--output", type=Path, default=RESULTS, help="The results file. Default: %(default)s."
    )
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    sizes = [int(size) for size in text.split(",")]
    if any(size < LEAST_SIZE for size in sizes):
        raise argparse.ArgumentTypeError(f"sizes are at least {LEAST_SIZE:,}: {text}")
    return sizes


def _show(console: Console, loading: LoadComparison, report: dict[str, Any]) -> None:
    table = Table(title="Loads, medians", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("rows", "seconds", "rows/s", "peak MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for size in report["sizes"]:
        for way in WAYS:
            runs = [each for each in loading.loads if (each.way, each.size) == (way, size)]
            seconds = median(each.seconds for each in runs)
            peaks = [each.peak_rss_mb for each in runs if each.peak_rss_mb is not None]
            table.add_row(
                way,
                f"{runs[0].rows:,}",
                f"{seconds:.2f}",
                f"{runs[0].rows / seconds:,.0f}",
                f"{median(peaks):.0f}" if peaks else "",
            )
    console.print(table)
    for name, target in TARGETS.items():
        value, met = report[name], report["targets"][name]["met"]
        verdict = "– not run" if met is None else "✓ met" if met else "✗ not met"
        shown = "" if value is None else f"{value:.2f}"
        bound = f"at {'least' if target.at_least else 'most'} {target.limit:g} {target.unit}"
        console.print(
            f"  {verdict:<11}{shown:>9}  {bound:<24} {name}: {target.meaning}", soft_wrap=True
        )


if __name__ == "__main__":
    sys.exit(main())
