"""Reads a batch from the source and converts it. Touches nothing of the target.

Two ways to the same lines: in PostgreSQL's SQL where the whole mapping is SQL and the source is
PostgreSQL (`plain`), else through the converters (`converting`). Where SQL refuses a value,
that batch goes through the converters, which find the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from migrationsync.checksums import source_sql
from migrationsync.deleted import deleted_sql
from migrationsync.entities import Entity
from migrationsync.loading.converting import convert_rows
from migrationsync.loading.plain import NotPlain, is_plain, read_lines
from migrationsync.loading.refusals import Refusal
from migrationsync.source import Source, Table


@dataclass(frozen=True)
class Prepared:
    """A batch that can be written, as often as it takes.

    `lines` are COPY's: key, checksum, values. `rows_read` counts the refused and the `deleted`
    ones too. `last` is the key to go on behind. `keys` are those that were asked for; None: all
    behind `after`.
    """

    entity: Entity
    source: Source
    table: Table
    after: int | None
    last: int | None
    finished: bool
    rows_read: int
    deleted: int
    lines: list[str] = field(repr=False)
    refusals: list[Refusal] = field(repr=False)
    keys: Sequence[int] | None = None


def prepare(
    entity: Entity,
    source: Source,
    table: Table,
    *,
    after: int | None = None,
    until: int | None = None,
    keys: Sequence[int] | None = None,
    size: int,
    in_sql: bool = True,
) -> Prepared:
    """The next `size` rows behind `after`, up to and with `until`; of `keys` only, where given.

    `table` is the source's as `Source.check` found it. Rows that are marked as deleted are
    counted and left out. `in_sql=False` has the converters do all of it. Raises
    SourceUnreachable. Memory: the rows of one batch, see `Source.read`.
    """
    if in_sql and keys is None and is_plain(entity, source, table):
        try:
            return _in_sql(entity, source, table, after, until, size)
        except NotPlain:
            pass
    return _in_python(entity, source, table, after, until, keys, size)


def _in_sql(
    entity: Entity, source: Source, table: Table, after: int | None, until: int | None, size: int
) -> Prepared:
    read = read_lines(entity, source, table, after=after, until=until, size=size)
    lines = read.lines
    refusals: list[Refusal] = []
    rows_read = len(lines) + len(read.incomplete) + read.deleted
    deleted = read.deleted
    rest = None
    while read.incomplete and not (rest and rest.finished):
        behind = rest.last if rest else None
        rest = _in_python(entity, source, table, behind, None, read.incomplete, size)
        lines += rest.lines
        refusals += rest.refusals
        deleted += rest.deleted
    return Prepared(
        entity=entity,
        source=source,
        table=table,
        after=after,
        last=read.last,
        finished=rows_read < size and not read.is_cut,
        rows_read=rows_read,
        deleted=deleted,
        lines=lines,
        refusals=refusals,
    )


def _in_python(
    entity: Entity,
    source: Source,
    table: Table,
    after: int | None,
    until: int | None,
    keys: Sequence[int] | None,
    size: int,
) -> Prepared:
    vendor = source.vendor
    computed = [source_sql(entity, table, vendor)]
    if mark := deleted_sql(entity, table, vendor):
        computed.append(mark)
    batch = source.read(
        table, entity.reads, after=after, until=until, keys=keys, computed=computed, limit=size
    )
    rows = batch.rows if batch else []
    alive = [row for row in rows if not row[-1]] if mark else rows
    converted = convert_rows(entity, alive)
    if keys is not None and batch is not None and batch.is_cut:
        keys = [key for key in keys if key <= batch.last]
    return Prepared(
        entity=entity,
        source=source,
        table=table,
        after=after,
        last=batch.last if batch else None,
        finished=batch is None or (len(rows) < size and not batch.is_cut),
        rows_read=len(rows),
        deleted=len(rows) - len(alive),
        lines=converted.lines,
        refusals=converted.refusals,
        keys=keys,
    )
