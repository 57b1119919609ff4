"""What every benchmark's results have alike: figures beside what they should be, and one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Target(NamedTuple):
    """`limit` is the most a figure may be, or with `at_least` the least."""

    limit: float
    unit: str
    meaning: str
    at_least: bool = False

    @property
    def bound(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def verdict(self, value: float | None) -> dict[str, Any]:
        """As it stands in the results. None: the figure wasn't measured."""
        return {
            "at_least" if self.at_least else "at_most": self.limit,
            "unit": self.unit,
            "meaning": self.meaning,
            "met": None if value is None else self.is_met(value),
        }

    def words(self, value: float | None) -> str:
        if value is None:
            return "– not measured"
        return "✓ met" if self.is_met(value) else "✗ not met"


def verdicts(
    targets: Mapping[str, Target], found: Mapping[str, float | None]
) -> dict[str, dict[str, Any]]:
    return {name: target.verdict(found[name]) for name, target in targets.items()}


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Its folder is made if there is none; what was there is overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
