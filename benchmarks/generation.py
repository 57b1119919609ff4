"""`python -m benchmarks.generation`: episodes' audio, made with a provider that takes its time.

Owns the command line and the results file. What is measured and how to read it:
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.configuration import set_up
from benchmarks.generation_figures import CACHED, FEW, FIRST, MANY, TARGETS, Generated, figures
from benchmarks.options import count
from benchmarks.report import verdicts, write
from benchmarks.speaking import PROVIDER, Stub

if TYPE_CHECKING:
    from benchmarks.generating import GeneratingComparison

RESULTS = Path(__file__).resolve().parent / "results" / "generation.json"


def main() -> int:
    options = _parse()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="encore-generation-") as folder:
        return _measure(options, console, Path(folder))


def _measure(options: argparse.Namespace, console: Console, folder: Path) -> int:
    os.environ |= {
        "GENERATION_TEXT_PROVIDER": "offline",
        "GENERATION_SPEECH_PROVIDER": PROVIDER,
        "MEDIA_ROOT": str(folder / "media"),
        "AWS_STORAGE_BUCKET_NAME": "",
    }
    databases = set_up()

    # These need the settings.
    from benchmarks.databases import DatabaseInUse
    from benchmarks.generating import GeneratingComparison
    from benchmarks.machine import describe

    stub = Stub(
        delay_seconds=options.delay_ms / 1000,
        sound_seconds=float(options.sound_seconds),
        max_parallel=options.parallel,
    )
    comparison = GeneratingComparison(databases, console, folder=folder, stub=stub)
    asked = {
        "segments": options.segments,
        "few": options.few_segments,
        "many": options.many_segments,
        "episodes": options.episodes,
        "runs": options.runs,
    }
    report: dict[str, Any] = {
        "begun_at": dt.datetime.now(dt.UTC).isoformat(),
        "machine": describe(databases.maintenance_url),
        "provider": stub._asdict(),
        **asked,
    }
    try:
        with databases:
            comparison.compare(**asked)
    except DatabaseInUse as error:
        console.print(str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted: no results.")
        return 128 + signal.SIGINT
    report |= _figures(comparison)
    write(options.output, report)
    _show(console, comparison, report)
    console.print(f"All figures: {options.output}")
    return 0


def _figures(comparison: GeneratingComparison) -> dict[str, Any]:
    found = figures(comparison.generated, comparison.bare, comparison.crowd)
    return {
        **found,
        "targets": verdicts(TARGETS, found),
        "generations": [asdict(generated) for generated in comparison.generated],
        "bare": [asdict(bare) for bare in comparison.bare],
        "at_once": asdict(comparison.crowd),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation",
        description="Measure generations of audio beside bare calls to the same provider.",
    )
    numbers = {
        "--segments": (400, "Of the generation that is compared with the bare calls."),
        "--delay-ms": (500, "How long each of its calls takes."),
        "--parallel": (4, "How many calls the provider takes at once."),
        "--sound-seconds": (1, "How long each segment is heard."),
        "--few-segments": (10, "Of the generation that memory is compared with."),
        "--many-segments": (2_000, "Of the one whose memory is measured."),
        "--episodes": (50, "How many are generated at once."),
        "--runs": (3, "Runs of each way."),
    }
    for name, (default, meaning) in numbers.items():
        parser.add_argument(
            name, type=count, default=default, help=f"{meaning} Default: %(default)s."
        )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="The results file. Default: %(default)s."
    )
    return parser.parse_args()


def _show(console: Console, comparison: GeneratingComparison, report: dict[str, Any]) -> None:
    table = Table(title="Generations by one worker, medians", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("segments", "seconds", "audio", "upload", "peak MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for way in (FIRST, CACHED, FEW, MANY):
        runs = [each for each in comparison.generated if each.way == way]
        table.add_row(way, str(runs[0].segments), *_medians(runs))
    bare = comparison.bare
    table.add_row("bare calls", str(bare[0].calls), f"{median(each.seconds for each in bare):.2f}")
    console.print(table)
    crowd = comparison.crowd
    console.print(
        f"{crowd.episodes} episodes at once took two workers {crowd.seconds:.0f} s: "
        f"{crowd.segments} segments of {crowd.texts} texts, {crowd.calls} calls paid for, "
        f"{crowd.turned_away} turned away."
    )
    for name, target in TARGETS.items():
        value, bound = report[name], f"{target.bound} {target.unit}"
        console.print(
            f"  {target.words(value):<11}{value:>9.2f}  {bound:<24} {name}: {target.meaning}",
            soft_wrap=True,
        )


def _medians(runs: list[Generated]) -> list[str]:
    columns = [
        [each.seconds for each in runs],
        *([each.stage_seconds[stage] for each in runs] for stage in ("audio", "upload")),
    ]
    memory = median(each.worker_peak_rss_mb for each in runs)
    return [*(f"{median(column):.2f}" for column in columns), f"{memory:.0f}"]


if __name__ == "__main__":
    sys.exit(main())
