"""One batch of one entity, from the source to the target: prepared, then written.

Whoever has a transaction of its own around the writing calls `prepare` and `write` itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrationsync.entities import Entity
from migrationsync.loading.preparing import Prepared, prepare
from migrationsync.loading.writing import write
from migrationsync.source import Source, Table

# Rows that are asked for by their keys at once.
CHUNK = 1_000


@dataclass(frozen=True)
class Loaded:
    """What a batch came to. `rows_read` is the sum of those behind it but `finished`.

    `last` is the key to go on behind, None where nothing was found; `finished`: there is
    nothing behind it.
    """

    last: int | None
    rows_read: int
    inserted: int
    updated: int
    unchanged: int
    kept: int
    quarantined: int
    deleted: int
    finished: bool


def load_batch(
    entity: Entity,
    source: Source,
    table: Table,
    *,
    after: int | None = None,
    until: int | None = None,
    size: int,
    batch_name: str,
) -> Loaded:
    """Brings over the next `size` rows behind the key `after`, up to and with `until`.

    One transaction on the target. Idempotent. Rows that can't be brought over are in the
    quarantine and stop nothing. Raises SourceUnreachable.
    """
    prepared = prepare(entity, source, table, after=after, until=until, size=size)
    return _written(prepared, batch_name)


def load_rows(
    entity: Entity,
    source: Source,
    table: Table,
    legacy_ids: Sequence[int],
    *,
    batch_name: str,
    keeps_changes: bool = False,
) -> Loaded:
    """Brings over these rows, whichever of them are there; a transaction for each thousand.
    `keeps_changes`: see `write`."""
    total = Loaded(None, 0, 0, 0, 0, 0, 0, 0, finished=True)
    asked = sorted(set(legacy_ids))
    for begin in range(0, len(asked), CHUNK):
        keys = asked[begin : begin + CHUNK]
        while keys:
            prepared = prepare(entity, source, table, keys=keys, size=len(keys))
            if not prepared.finished and prepared.last is not None:
                # Cut by its bytes: the others are asked for next.
                rest = [key for key in keys if key > prepared.last]
            else:
                rest = []
            total = _sum(total, _written(prepared, batch_name, keeps_changes=keeps_changes))
            keys = rest
    return total


def retry_quarantined(
    entity: Entity, source: Source, table: Table, legacy_ids: Sequence[int], *, batch_name: str
) -> Loaded:
    """Tries rows of the quarantine again, as they are in the source now.

    Those that come good, are marked as deleted or are no longer there are closed. `batch_name`
    is another one than before: a name stands for one attempt. One that came over once, and was
    changed in the target since, is left as it is there.
    """
    return load_rows(entity, source, table, legacy_ids, batch_name=batch_name, keeps_changes=True)


def _written(prepared: Prepared, batch_name: str, *, keeps_changes: bool = False) -> Loaded:
    written = write(prepared, batch_name=batch_name, keeps_changes=keeps_changes)
    return Loaded(
        last=prepared.last,
        rows_read=prepared.rows_read,
        inserted=written.inserted,
        updated=written.updated,
        unchanged=written.unchanged,
        kept=written.kept,
        quarantined=len(written.refusals),
        deleted=prepared.deleted,
        finished=prepared.finished,
    )


def _sum(one: Loaded, other: Loaded) -> Loaded:
    return Loaded(
        last=other.last if other.last is not None else one.last,
        rows_read=one.rows_read + other.rows_read,
        inserted=one.inserted + other.inserted,
        updated=one.updated + other.updated,
        unchanged=one.unchanged + other.unchanged,
        kept=one.kept + other.kept,
        quarantined=one.quarantined + other.quarantined,
        deleted=one.deleted + other.deleted,
        finished=True,
    )
