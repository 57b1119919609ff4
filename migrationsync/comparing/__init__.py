"""Where a legacy table and what it became differ."""

from migrationsync.comparing.changed_since import ChangedSince, NoTimes
from migrationsync.comparing.differential import Differential
from migrationsync.comparing.explaining import Explanation, explain
from migrationsync.comparing.results import (
    ComparisonType,
    Cursor,
    Difference,
    Finding,
    Kind,
    Segment,
    findings,
)

__all__ = [
    "ChangedSince",
    "ComparisonType",
    "Cursor",
    "Difference",
    "Differential",
    "Explanation",
    "Finding",
    "Kind",
    "NoTimes",
    "Segment",
    "explain",
    "findings",
]
