"""`python -m benchmarks.duplication`: Encore's copy beside other ways to copy the same tree.

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
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.configuration import set_up
from benchmarks.figures import TARGETS, Figures
from benchmarks.options import count
from benchmarks.report import verdicts, write
from benchmarks.sources import SHAPES, SIZE_UNIT, Source
from benchmarks.tables import show_sources, show_targets

if TYPE_CHECKING:
    from benchmarks.figures import Measurement

RESULTS = Path(__file__).resolve().parent / "results" / "duplication.json"
SIZES = "10000,100000,1000000"


def main() -> int:
    options = _parse()
    console = Console(highlight=False)
    sources = [Source(shape, size) for shape in options.shapes for size in options.sizes]
    databases = set_up()

    # These need the settings.
    from benchmarks.comparison import Comparison
    from benchmarks.databases import DatabaseInUse
    from benchmarks.machine import describe

    comparison = Comparison(databases, console)
    report: dict[str, Any] = {
        "begun_at": dt.datetime.now(dt.UTC).isoformat(),
        "machine": describe(databases.maintenance_url),
        "sizes": options.sizes,
        "shapes": options.shapes,
        "runs": options.runs,
    }
    try:
        with databases:
            comparison.compare(sources, runs=options.runs)
    except DatabaseInUse as error:
        console.print(str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted: no results.")
        return 128 + signal.SIGINT
    shape = SHAPES[0] if SHAPES[0] in options.shapes else options.shapes[0]
    basis = Source(shape, max(options.sizes))
    figures = Figures(comparison.measurements)
    ratios = figures.ratios(basis)
    report |= {
        "ratios": ratios,
        "ratios_for": asdict(basis),
        "targets": verdicts(TARGETS, ratios),
        "by_source": [
            {**asdict(source), "rows": source.rows, "ratios": figures.at_size(source)}
            for source in sources
        ],
        "measurements": [_flat(measurement) for measurement in comparison.measurements],
    }
    write(options.output, report)
    show_sources(console, comparison.measurements)
    show_targets(console, ratios, basis)
    console.print(f"All times: {options.output}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.duplication",
        description="Measure duplication beside raw SQL, fetch-and-insert and django-clone.",
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=SIZES,
        help=f"Numbers of blocks, multiples of {SIZE_UNIT:,}. Default: %(default)s.",
    )
    parser.add_argument(
        "--shapes",
        type=_shapes,
        default=",".join(SHAPES),
        help="How the blocks are spread over the items. Default: %(default)s.",
    )
    parser.add_argument(
        "--runs", type=count, default=2, help="Runs of each way. Default: %(default)s."
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="The results file. Default: %(default)s."
    )
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    sizes = [int(size) for size in text.split(",")]
    if any(size < SIZE_UNIT or size % SIZE_UNIT for size in sizes):
        raise argparse.ArgumentTypeError(f"sizes are multiples of {SIZE_UNIT:,}: {text}")
    return sizes


def _shapes(text: str) -> list[str]:
    shapes = text.split(",")
    if unknown := set(shapes) - set(SHAPES):
        raise argparse.ArgumentTypeError(f"there is no shape {', '.join(sorted(unknown))}")
    return shapes


def _flat(measurement: Measurement) -> dict[str, Any]:
    return {
        "way": measurement.way,
        **asdict(measurement.source),
        "rows": measurement.source.rows,
        "run": measurement.run,
        **asdict(measurement.timing),
    }


if __name__ == "__main__":
    sys.exit(main())
