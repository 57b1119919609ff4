"""The figures in the terminal: a table per tree, and a line per target."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import TARGETS, Figures, Measurement
from benchmarks.sources import Source

WAYS = {
    "raw": "raw SQL",
    "one_lane": "Encore, 1 lane",
    "two_lanes": "Encore, 2 lanes",
    "fetch_insert": "fetch and insert",
    "django_clone": "django-clone",
}


def show_sources(console: Console, measurements: Sequence[Measurement]) -> None:
    """Per tree and way: the medians, and how they compare with the raw copy."""
    figures = Figures(measurements)
    for source in dict.fromkeys(measurement.source for measurement in measurements):
        table = Table(title=str(source), title_justify="left")
        table.add_column("", no_wrap=True)
        for heading in ("runs", "copy s", "rows/s", "x raw", "verify s", "total s"):
            table.add_column(heading, justify="right", no_wrap=True)
        raw = figures.copy_seconds("raw", source)
        for way, name in WAYS.items():
            seconds = figures.copy_seconds(way, source)
            if seconds is None:
                continue
            table.add_row(
                name,
                str(figures.runs(way, source)),
                _number(seconds),
                f"{source.rows / seconds:,.0f}",
                _number(raw and seconds / raw),
                _number(figures.verification_seconds(way, source)),
                _number(figures.total_seconds(way, source)),
            )
        console.print(table)


def show_targets(console: Console, ratios: dict[str, float | None], source: Source) -> None:
    """Each figure with its unit, its target and whether that is met."""
    console.print(f"Targets, for {source}:")
    for name, target in TARGETS.items():
        value = ratios[name]
        figure = "–" if value is None else f"{value:.2f} {target.unit}"
        console.print(
            f"  {target.words(value):<15}{figure:>12}  {target.bound:<14} {name}", soft_wrap=True
        )
        console.print(f"{'':<46}{target.meaning}", soft_wrap=True)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
