"""What the segments of a validation came to so far, as a cursor can carry it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from migrationsync.validating.base import EXAMPLES, Discrepancy, Looked


@dataclass(frozen=True)
class Tally:
    """Bounded, however many segments there were: a handful of discrepancies, each with its first
    examples."""

    records: int = 0
    wrong: dict[str, Discrepancy] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def plus(self, looked: Looked, seconds: float) -> Tally:
        wrong = dict(self.wrong)
        for each in looked.wrong:
            before = wrong.get(each.what, Discrepancy(each.what, 0))
            examples = [*before.examples, *each.examples][:EXAMPLES]
            wrong[each.what] = Discrepancy(each.what, before.count + each.count, examples)
        return Tally(
            records=self.records + looked.records,
            wrong=wrong,
            figures={
                name: self.figures.get(name, 0) + looked.figures.get(name, 0)
                for name in {**self.figures, **looked.figures}
            },
            measured={**self.measured, **looked.measured},
            seconds=self.seconds + seconds,
        )

    @property
    def discrepancies(self) -> int:
        return sum(each.count for each in self.wrong.values())

    @property
    def details(self) -> list[dict[str, Any]]:
        """As `MigrationValidationReport.discrepancy_details` has them."""
        return [
            {"what": each.what, "count": each.count}
            | ({"examples": list(each.examples)} if each.examples else {})
            for each in self.wrong.values()
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "wrong": self.details,
            "figures": self.figures,
            "measured": self.measured,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Tally:
        wrong = [
            Discrepancy(each["what"], each["count"], each.get("examples", []))
            for each in kept["wrong"]
        ]
        return cls(**{**kept, "wrong": {each.what: each for each in wrong}})
