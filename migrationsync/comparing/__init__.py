"""Where a legacy table and what it became differ."""

from migrationsync.comparing.changed_since import ChangedSince, NoTimes
from migrationsync.comparing.differential import Differential
from migrationsync.comparing.explaining import Explanation, explain
from migrationsync.comparing.results import Cursor, Difference, Finding, Segment, findings
from migrationsync.differences import ComparisonType, Kind

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
