"""In which ways a record can differ."""

from __future__ import annotations

import enum


class Kind(enum.StrEnum):
    """How a record's two sides stand to each other and to what they were when last made alike."""

    MISSING = "missing"  # in the source, and never migrated
    QUARANTINED = "quarantined"  # the same, and it is known why
    SOURCE_CHANGED = "source_changed"
    TARGET_CHANGED = "target_changed"
    BOTH_CHANGED = "both_changed"
    DELETED_IN_SOURCE = "deleted_in_source"  # the row is gone, or marked as deleted
    DELETED_IN_TARGET = "deleted_in_target"
    DELETED_IN_BOTH = "deleted_in_both"  # only the mapping is left
    EXTRA = "extra"  # in the target, and from no legacy row


class ComparisonType(enum.StrEnum):
    """The original's names for differences, as they are stored."""

    MISSING_RECORDS = "missing_records"
    CONFLICTED_RECORDS = "conflicted_records"
    DELETED_RECORDS = "deleted_records"


COMPARISON_TYPES = {
    Kind.MISSING: ComparisonType.MISSING_RECORDS,
    Kind.QUARANTINED: ComparisonType.MISSING_RECORDS,
    Kind.SOURCE_CHANGED: ComparisonType.CONFLICTED_RECORDS,
    Kind.TARGET_CHANGED: ComparisonType.CONFLICTED_RECORDS,
    Kind.BOTH_CHANGED: ComparisonType.CONFLICTED_RECORDS,
    Kind.DELETED_IN_SOURCE: ComparisonType.DELETED_RECORDS,
    Kind.DELETED_IN_TARGET: ComparisonType.DELETED_RECORDS,
    Kind.DELETED_IN_BOTH: ComparisonType.DELETED_RECORDS,
    Kind.EXTRA: ComparisonType.DELETED_RECORDS,
}
