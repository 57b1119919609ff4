"""What stands in the way of giving an entity's rows back, before any is."""

from __future__ import annotations

from collections.abc import Iterator

from migrationsync.columns import Family
from migrationsync.entities import Entity, entities
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
            # A field of the target's own that has the key is set to it, and never written back.
            if value.field in entity.foreign_keys:
                yield f"{entity.source}.{value.source} is the key, which is never changed."
        elif why := value.converter.one_way(columns.get(value.source)):
            yield f"{entity.source}.{value.source} can't be written back: {why}."
    for name, column in columns.items():
        is_filled = name in entity.source_columns or column.is_nullable or column.has_default
        if not is_filled:
            yield (
                f"{entity.source}.{name} is required, but “{entity.name}” doesn't declare it: new "
                f"rows would be refused. {_declared_by(entity, name)}"
            )
    if entity.deleted in columns and entity.deleted not in marks.read_values(entity):
        yield from _mark(entity, columns[entity.deleted].family, columns[entity.deleted].declared)


def _declared_by(entity: Entity, name: str) -> str:
    """What to do about a column, by who else reads the table."""
    others = (each for each in entities if each.source == entity.source and each != entity)
    other = next((each.name for each in others if name in each.source_columns), "")
    if not other:
        return "Declare it there, or give it a default in the source."
    return (
        f"“{other}” reads the same table and declares it: let only that one go both ways, declare "
        "it in both, or give it a default in the source."
    )


def _mark(entity: Entity, family: Family, declared: str) -> Iterator[str]:
    if family not in marks.MARKS:
        yield (
            f"{entity.source}.{entity.deleted} is of type {declared}: it can't be told how it "
            "marks a row as deleted. A flag or a time is needed."
        )
