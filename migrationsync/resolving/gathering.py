"""What has to be known, and done at the source, before records are resolved in the target.

Outside the target's transaction: reads the rows that are to come over, writes what goes back, and
keeps how each record was seen, so that nothing is done to one that has changed by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from django.db import transaction

from migrationsync import returning
from migrationsync.comparing import Difference
from migrationsync.comparing.records import Key, source_checksums, states
from migrationsync.differences import Kind
from migrationsync.entities import Entity
from migrationsync.loading import Prepared, prepare
from migrationsync.models import LegacyIdMapping
from migrationsync.resolving.rules import Action
from migrationsync.returning import Returned
from migrationsync.source import Source, Table

# Rows that are asked for by their keys at once.
CHUNK = 1_000
# What the rows of one step may weigh as texts.
MAX_BYTES = 64 * 1024 * 1024
GONE = LegacyIdMapping.GONE
# Neither mapped nor in the target; see comparing.records.state_sql.
NOWHERE = f"//{GONE}"
# Where the target is to be as it was last synced.
_TARGET_UNCHANGED = (Kind.SOURCE_CHANGED, Kind.DELETED_IN_SOURCE)


class TooMuch(Exception):
    """The rows weigh too much to be handled at once: to be tried with fewer."""


@dataclass(frozen=True)
class Decided:
    """A record that differs, and what is to be done about it."""

    difference: Difference
    action: Action

    @property
    def key(self) -> Key:
        return self.difference.key


@dataclass(frozen=True)
class Gathered:
    """What `applying.apply` needs. `seen` is how each record stood when it was looked at;
    `stale` are those that are otherwise already; `prepared` the source's rows that may come over;
    `checksums` the source's as they are; `returned` what was written there, and `synced` the rows
    that are there now, as the mapping keeps them."""

    entity: Entity
    decided: Sequence[Decided]
    seen: dict[Key, str] = field(repr=False)
    prepared: Prepared | None = field(repr=False)
    checksums: dict[Key, str] = field(repr=False)
    returned: dict[Key, Returned] = field(repr=False)
    stale: frozenset[Key] = frozenset()
    synced: dict[int, str] = field(default_factory=dict, repr=False)


def gather(entity: Entity, source: Source, table: Table, decided: Sequence[Decided]) -> Gathered:
    """Safe to repeat: what was written to the source is found there as it should be.

    Raises SourceUnreachable, and TooMuch before it has written anything.
    """
    keys = [each.key for each in decided]
    seen = dict.fromkeys(keys, NOWHERE) | states(entity, keys)
    stale = frozenset(each.key for each in decided if _is_stale(each, seen[each.key]))
    current = [each for each in decided if each.key not in stale]
    wanted = [each.difference.legacy_id for each in current if _comes_over(each)]
    prepared = read_rows(entity, source, table, [key for key in wanted if key is not None])
    accepted = [each.key for each in current if each.action is Action.ACCEPT]
    checksums = source_checksums(entity, source, table, accepted) if accepted else {}
    returned = _write_back(entity, source, table, current)
    synced = _synced(entity, source, table, returned.values())
    return Gathered(entity, decided, seen, prepared, checksums, returned, stale, synced)


def _synced(
    entity: Entity, source: Source, table: Table, returned: Iterable[Returned]
) -> dict[int, str]:
    """The rows that were written back, by their legacy ids, where they are still so."""
    checksums = {
        each.legacy_id: each.checksum
        for each in returned
        if each.legacy_id is not None and each.checksum not in (None, GONE)
    }
    batch = read_rows(entity, source, table, list(checksums))
    found = {}
    for line in batch.lines if batch else ():
        key, checksum, values = line[:-1].split("\t", 2)
        if checksums[int(key)] == checksum:
            found[int(key)] = values
    return found


def read_rows(entity: Entity, source: Source, table: Table, keys: Sequence[int]) -> Prepared | None:
    """The rows of these keys as one batch; None where no key is asked for. Raises TooMuch,
    SourceUnreachable."""
    batch: Prepared | None = None
    weight = 0
    left = sorted(keys)
    while left:
        read = prepare(entity, source, table, keys=left[:CHUNK], size=CHUNK)
        is_cut = not read.finished and read.last is not None
        passed = read.last if is_cut and read.last is not None else left[:CHUNK][-1]
        left = [key for key in left if key > passed]
        weight += sum(map(len, read.lines))
        batch = read if batch is None else _joined(batch, read)
        if weight > MAX_BYTES and len(keys) > 1:
            raise TooMuch
    return batch


def _joined(one: Prepared, other: Prepared) -> Prepared:
    return replace(
        one,
        last=other.last if other.last is not None else one.last,
        rows_read=one.rows_read + other.rows_read,
        deleted=one.deleted + other.deleted,
        lines=one.lines + other.lines,
        refusals=one.refusals + other.refusals,
        keys=[*(one.keys or ()), *(other.keys or ())],
    )


def _comes_over(decided: Decided) -> bool:
    """What both changed is looked at whatever is decided: it may be the same by now."""
    if decided.difference.kind is Kind.BOTH_CHANGED:
        return decided.action is not Action.SKIP
    return decided.action.loads


def _is_stale(decided: Decided, state: str) -> bool:
    """Whether the target is already another than the difference says."""
    if decided.action is Action.SKIP:
        return False
    kind = decided.difference.kind
    checksum, target_checksum, actual = state.split("/")
    if kind in (Kind.MISSING, Kind.QUARANTINED):
        return state != NOWHERE
    if kind is Kind.EXTRA:
        return bool(checksum)
    if kind in _TARGET_UNCHANGED and not decided.difference.is_contested:
        return actual != target_checksum
    return not checksum


def _write_back(
    entity: Entity,
    source: Source,
    table: Table,
    decided: Sequence[Decided],
) -> dict[Key, Returned]:
    """Carries out what is decided at the source; what came of each, by its key."""
    found: dict[Key, Returned] = {}
    for verb, records in _verbs(entity, source, table, decided):
        # One answer for each, in their order.
        found |= dict(zip((each.key for each in records), verb(records), strict=True))
    return found


def _verbs(
    entity: Entity,
    source: Source,
    table: Table,
    decided: Sequence[Decided],
) -> Iterator[tuple[Callable[[list[Decided]], Sequence[Returned]], list[Decided]]]:
    given, forced, added, removed, removed_anyway = [], [], [], [], []
    for each in decided:
        match each.action:
            case Action.RETURN if each.difference.kind is Kind.TARGET_CHANGED:
                given.append(each)
            case Action.RETURN:
                forced.append(each)
            case Action.RETURN_NEW:
                added.append(each)
            case Action.DELETE_SOURCE if each.difference.is_contested:
                removed_anyway.append(each)
            case Action.DELETE_SOURCE:
                removed.append(each)
    of_source = (entity, source, table)
    if given:
        yield lambda records: returning.give_back(*of_source, _uuids(records)), given
    if forced:
        yield lambda records: returning.give_back_forced(*of_source, _uuids(records)), forced
    if added:
        reserve = partial(_reserve, entity, table)
        yield (
            lambda records: returning.insert_back(*of_source, _uuids(records), reserve=reserve),
            added,
        )
    if removed:
        yield lambda records: returning.delete_back(*of_source, _legacy_ids(records)), removed
    if removed_anyway:
        yield (
            lambda records: returning.delete_back_forced(*of_source, _legacy_ids(records)),
            removed_anyway,
        )


def _reserve(entity: Entity, table: Table, pairs: Sequence[tuple[UUID, int]]) -> None:
    """Commits which keys the source is about to give to rows of the target.

    With both checksums as GONE, which nothing else has. Should this process die now, the row is
    found as changed in both to the same or, where the source's transaction never ended, by
    `reserved`; then it gets the same key.
    """
    with transaction.atomic():
        LegacyIdMapping.objects.bulk_create(
            LegacyIdMapping(
                entity_type=entity.name,
                legacy_id=legacy_id,
                uuid_id=uuid,
                migration_batch="added to the source",
                source_table=table.name,
                target_table=entity.target._meta.db_table,
                checksum=GONE,
                target_checksum=GONE,
            )
            for uuid, legacy_id in pairs
        )


def reserved(entity: Entity, differences: Iterable[Difference]) -> set[Key]:
    """Of these those that look changed in the target, but never were in the source: their keys
    are reserved there."""
    keys = [
        each.legacy_id
        for each in differences
        if each.kind is Kind.TARGET_CHANGED and each.legacy_id is not None
    ]
    mappings = LegacyIdMapping.objects.filter(entity_type=entity.name, legacy_id__in=keys)
    return set(
        mappings.filter(checksum=GONE, target_checksum=GONE).values_list("legacy_id", flat=True)
    )


def _legacy_ids(records: Iterable[Decided]) -> list[int]:
    return [key for each in records if (key := each.difference.legacy_id) is not None]


def _uuids(records: Iterable[Decided]) -> list[UUID]:
    return [each.difference.uuid for each in records if each.difference.uuid is not None]
