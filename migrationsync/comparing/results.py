"""What a comparison finds, ready to be shown or stored. Pure data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from migrationsync.differences import COMPARISON_TYPES, ComparisonType, Kind
from migrationsync.entities import Entity

# A place to go on from: plain JSON, to be given back as it is.
Cursor = dict[str, Any]

# The most ids of one finding.
PAGE = 10_000


@dataclass(frozen=True)
class Difference:
    """One record that differs.

    `legacy_id` is None for an extra row, `uuid` for one that was never migrated.
    `is_contested`: deleted on one side, and changed on the other.
    """

    kind: Kind
    legacy_id: int | None
    uuid: UUID | None = None
    is_contested: bool = False

    @property
    def key(self) -> int | UUID:
        """The legacy id; of an extra row, its UUID."""
        return self.legacy_id if self.legacy_id is not None else cast("UUID", self.uuid)

    @property
    def json_key(self) -> int | str:
        """As a finding keeps it."""
        return self.key if isinstance(self.key, int) else str(self.key)


@dataclass(frozen=True)
class Segment:
    """What one step found. `examined` counts the keys it passed, `cursor` is where the next
    begins; None: this was the last."""

    differences: list[Difference]
    examined: int
    cursor: Cursor | None


@dataclass(frozen=True)
class Finding:
    """Records of one kind, as a DataDifferential will store them.

    `legacy_ids` are the legacy keys; of extra rows, which have none, their UUIDs as text.
    """

    source_table: str
    target_table: str
    comparison_type: ComparisonType
    legacy_ids: list[int | str]
    comparison_criteria: dict[str, Any]

    @property
    def record_count(self) -> int:
        return len(self.legacy_ids)


def findings(
    entity: Entity, differences: Iterable[Difference], criteria: dict[str, Any]
) -> Iterator[Finding]:
    """The differences of a segment by kind, in pages of at most PAGE.

    `criteria` say how was compared (see `Differential.criteria`); the kind, and which of the
    ids are contested, are added to them.
    """
    by_kind: dict[Kind, list[Difference]] = {}
    for difference in differences:
        by_kind.setdefault(difference.kind, []).append(difference)
    for kind, found in by_kind.items():
        for page in _pages(found):
            contested = [each.json_key for each in page if each.is_contested]
            yield Finding(
                entity.source,
                entity.target._meta.db_table,
                COMPARISON_TYPES[kind],
                [each.json_key for each in page],
                {**criteria, "kind": kind.value, "contested": contested},
            )


def _pages(found: list[Difference]) -> Iterator[list[Difference]]:
    return (found[start : start + PAGE] for start in range(0, len(found), PAGE))
