"""What stands in the way of giving an entity's rows back, before any is."""

from __future__ import annotations

from collections.abc import Iterator

from migrationsync.columns import Family
from migrationsync.entities import Entity
from migrationsync.returning import marks
from migrationsync.source import Table


def refusals(entity: Entity, table: Table | None = None) -> list[str]:
    """Why an entity can't be synchronized both ways, each beginning with its place; empty: it can.

    Without the source's `table` only what the declaration itself says, with no database asked.
    """
    return list(_refusals(entity, table))


def _refusals(entity: Entity, table: Table | None) -> Iterator[str]:
    if table is not None and table.is_view:
        yield f"{entity.source} is a view: only tables are written to."
    columns = table.columns if table else {}
    for value in entity.values:
        if value.source == entity.key:
            yield f"{entity.source}.{value.source} is the key, which is never changed."
        elif why := value.converter.one_way(columns.get(value.source)):
            yield f"{entity.source}.{value.source} can't be written back: {why}."
    for name, column in columns.items():
        is_filled = name in entity.source_columns or column.is_nullable or column.has_default
        if not is_filled:
            yield (
                f"{entity.source}.{name} is required, but isn't declared: new rows would be "
                "refused. Declare it, or give it a default."
            )
    if entity.deleted in columns and entity.deleted not in marks.read_values(entity):
        yield from _mark(entity, columns[entity.deleted].family, columns[entity.deleted].declared)


def _mark(entity: Entity, family: Family, declared: str) -> Iterator[str]:
    if family not in marks.MARKS:
        yield (
            f"{entity.source}.{entity.deleted} is of type {declared}: it can't be told how it "
            "marks a row as deleted. A flag or a time is needed."
        )
