"""The differential of an entity: which records differ, and in which way.

Three-way, per record, against the checksums that the id mapping holds from when the two sides
were last made alike. The source is asked for sums over groups of neighbouring keys, which are
compared with those of the stored checksums; only where they differ, for the rows' own. The
target lies beside the mapping: there, one join finds the rows that changed. The two are asked at
once.

Bounded: a segment passes at most `size` keys of each side, cut at keys that are really there,
and holds no more than its differences and, where more than a few groups differ, its checksums.
Resumable: behind every segment is a cursor, plain JSON.

A difference is what was found at its moment. Who loads the same entity meanwhile makes rows
look missing or deleted that aren't: the caller keeps the two apart, and whoever resolves a
difference looks at the record again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from migrationsync.comparing.beside import Beside
from migrationsync.comparing.results import Cursor, Difference, Segment
from migrationsync.comparing.sides import (
    Groups,
    Keys,
    Mapped,
    Ranges,
    SourceSide,
    Stored,
    StoredSide,
    TargetChange,
    TargetState,
)
from migrationsync.differences import Kind
from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping
from migrationsync.source import Source

# The keys of a segment, and of a group within it.
SEGMENT_ROWS = 50_000
GROUP_ROWS = 200
# A greater one isn't an integer to the databases: dividing by it would be no integer division.
MOST_WIDTH = 2**63 - 1
# Where more groups differ than this, the whole segment's checksums are read at once.
MOST_RANGES = 250


class Differential:
    """Compares all of an entity, by checksum.

    `source_only` looks at what the source did alone, which is quicker: what the target changed
    or lost isn't seen, nor that both changed.

    Raises SchemaDrift when the source isn't as declared; every segment SourceUnreachable.
    """

    def __init__(self, entity: Entity, source: Source, *, source_only: bool = False) -> None:
        self.entity = entity
        self.criteria: dict[str, Any] = {
            "compared_by": "checksum",
            "sides": ["source"] if source_only else ["source", "target"],
            "sees_deleted": True,
        }
        self._source_only = source_only
        table = source.check([entity])[entity.name]
        self._source = SourceSide(entity, source, table)
        self._stored = StoredSide(entity)
        self._beside = Beside(source.alias)

    def close(self) -> None:
        """Lets go of the thread and the connection that segments were compared with."""
        self._beside.close()

    def segments(
        self, cursor: Cursor | None = None, *, size: int = SEGMENT_ROWS
    ) -> Iterator[Segment]:
        """Every segment from `cursor` to the end, and closes."""
        with contextlib.closing(self):
            while True:
                segment = self.next_segment(cursor, size=size)
                yield segment
                cursor = segment.cursor
                if cursor is None:
                    return

    def next_segment(self, cursor: Cursor | None, *, size: int = SEGMENT_ROWS) -> Segment:
        """The segment behind `cursor` (None: the first), of at most `size` keys a side.

        First come the records, in the order of their legacy ids, then the target's rows that
        aren't mapped, in the order of theirs. Writes nothing. Close, behind the last.
        """
        if cursor is not None and "extra_after" in cursor:
            return self._extras(cursor["extra_after"], size)
        return self._records(cursor["after"] if cursor else None, size)

    def _records(self, after: int | None, size: int) -> Segment:
        asked = self._beside.both(
            lambda: self._source.keys(after, size), lambda: self._stored.keys(after, size)
        )
        sides = [keys for keys in asked if keys is not None]
        behind_all: Cursor | None = None if self._source_only else {"extra_after": None}
        if not sides:
            return Segment([], 0, behind_all)
        keys, is_last = cut(sides, size)
        source_ranges, target_ranges = self._differing(keys)
        source = self._source_differences(source_ranges) if source_ranges else {}
        target = self._stored.target_differences(target_ranges) if target_ranges else {}
        differences = [
            combined(key, source.get(key), target.get(key))
            for key in sorted(source.keys() | target.keys())
        ]
        return Segment(differences, keys.rows, behind_all if is_last else {"after": keys.last})

    def _differing(self, keys: Keys) -> tuple[Ranges, Ranges]:
        """The ranges of keys within which the source, and the target, isn't what was stored."""
        width = min((keys.last - keys.first) * GROUP_ROWS // keys.rows + 1, MOST_WIDTH)
        source, stored = self._beside.both(
            lambda: self._source.groups(keys.first, keys.last, width),
            lambda: self._stored.groups(
                keys.first, keys.last, width, with_target=not self._source_only
            ),
        )
        changed = [(group.first, group.last) for group in stored.values() if group.changed]
        return _few(differing(source, stored), keys), _few(changed, keys)

    def _source_differences(self, ranges: Ranges) -> dict[int, Difference]:
        """What differs by the source alone."""
        now, before = self._beside.both(
            lambda: self._source.checksums(ranges), lambda: self._stored.checksums(ranges)
        )
        found = {
            key: Difference(Kind.DELETED_IN_SOURCE, key, stored.uuid)
            for key, stored in before.items()
            if key not in now and stored.checksum != LegacyIdMapping.GONE
        }
        unmapped = []
        for key, checksum in now.items():
            if key not in before:
                unmapped.append(key)
            elif checksum != before[key].checksum:
                found[key] = changed(key, before[key])
        quarantined = self._stored.quarantined(unmapped) if unmapped else set()
        for key in unmapped:
            kind = Kind.QUARANTINED if key in quarantined else Kind.MISSING
            found[key] = Difference(kind, key)
        return found

    def _extras(self, after: str | None, size: int) -> Segment:
        found, examined, last = self._stored.extras(after, size)
        differences = [Difference(Kind.EXTRA, None, uuid) for uuid in found]
        return Segment(differences, examined, None if last is None else {"extra_after": last})


def cut(sides: list[Keys], size: int) -> tuple[Keys, bool]:
    """The keys that a segment passes, of which no side has more than `size`, and whether there
    are none behind. A side that has `size` may have more."""
    full = [side.last for side in sides if side.rows == size]
    last = min(full) if full else max(side.last for side in sides)
    first = min(side.first for side in sides)
    return Keys(first, last, max(side.rows for side in sides)), not full


def _few(ranges: list[tuple[int, int]], keys: Keys) -> Ranges:
    return ranges if len(ranges) <= MOST_RANGES else [(keys.first, keys.last)]


def differing(source: Groups, stored: Groups) -> list[tuple[int, int]]:
    """The ranges of keys of the groups whose rows or sums aren't the same on both sides."""
    ranges = []
    for number in sorted(source.keys() | stored.keys()):
        # A group may have no rows but such as are gone by agreement.
        sides = [side[number] for side in (source, stored) if number in side and side[number].rows]
        if not sides:
            continue
        if len(sides) < 2 or sides[0][:2] != sides[1][:2]:
            ranges.append((min(side.first for side in sides), max(side.last for side in sides)))
    return ranges


def of_mapped(key: int, checksum: str | None, mapped: Mapped) -> Difference | None:
    """How a mapped record differs. `checksum`: of the source's row now; None: there is none."""
    before = mapped.stored
    source = target = None
    if checksum is None and before.checksum != LegacyIdMapping.GONE:
        source = Difference(Kind.DELETED_IN_SOURCE, key, before.uuid)
    elif checksum is not None and checksum != before.checksum:
        source = changed(key, before)
    if mapped.target is not TargetState.SAME:
        source_is_gone = checksum is None and before.checksum == LegacyIdMapping.GONE
        source_is_gone = source_is_gone and not before.target_is_gone
        target = TargetChange(mapped.target, before.uuid, source_is_gone)
    return combined(key, source, target) if source or target else None


def changed(key: int, stored: Stored) -> Difference:
    """What it is that the source changed a row, as far as the target is as it was."""
    if stored.target_is_gone and stored.checksum != LegacyIdMapping.GONE:
        return Difference(Kind.DELETED_IN_TARGET, key, stored.uuid, is_contested=True)
    return Difference(Kind.SOURCE_CHANGED, key, stored.uuid)


def combined(key: int, source: Difference | None, target: TargetChange | None) -> Difference:
    """A record's difference, from what differs on either side (at least on one)."""
    # Unmapped, but in the target: it was mapped between the two looks.
    if source is None or source.uuid is None:
        if target is not None:
            return _by_target_alone(key, target)
        assert source is not None  # noqa: S101 - one of the two differs
        return source
    if target is None:
        return source
    is_gone = target.state is TargetState.GONE
    if source.kind is Kind.DELETED_IN_SOURCE:
        if is_gone:
            return Difference(Kind.DELETED_IN_BOTH, key, source.uuid)
        return Difference(Kind.DELETED_IN_SOURCE, key, source.uuid, is_contested=True)
    if is_gone:
        return Difference(Kind.DELETED_IN_TARGET, key, source.uuid, is_contested=True)
    return Difference(Kind.BOTH_CHANGED, key, source.uuid)


def _by_target_alone(key: int, target: TargetChange) -> Difference:
    is_gone = target.state is TargetState.GONE
    if target.source_is_gone:
        kind = Kind.DELETED_IN_BOTH if is_gone else Kind.DELETED_IN_SOURCE
        return Difference(kind, key, target.uuid, is_contested=not is_gone)
    return Difference(Kind.DELETED_IN_TARGET if is_gone else Kind.TARGET_CHANGED, key, target.uuid)
