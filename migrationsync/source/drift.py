"""Whether the source's tables are what the entities were declared for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from migrationsync.columns import Family
from migrationsync.entities import Entity
from migrationsync.source.errors import Drift
from migrationsync.source.schema import Table


def drifts(entity: Entity, table: Table | None) -> Iterator[Drift]:
    """Every difference that stands in the way of reading `table` as `entity`."""

    def drift(column: str, problem: str, hint: str = "") -> Drift:
        return Drift(entity.name, entity.source, column, problem, hint)

    if table is None:
        yield drift("", "isn't there, or this user may not see it.")
        return
    undeclared = [name for name in table.columns if name not in entity.source_columns]
    for name in entity.source_columns:
        if name not in table.columns:
            near = difflib.get_close_matches(name, undeclared, n=1)
            hint = f"Was it renamed to “{near[0]}”?" if near else ""
            yield drift(name, "is gone.", hint)
    for value in entity.values:
        column = table.columns.get(value.source)
        if column is None or table.is_untyped(column.name):
            continue
        if column.family not in value.converter.reads:
            reads = ", ".join(sorted(value.converter.reads))
            converter = type(value.converter).__name__
            yield drift(
                value.source,
                f"is of type {column.declared}, which {converter} doesn't read.",
                f"It reads: {reads}.",
            )
    key = table.columns.get(entity.key)
    if key is None:
        return
    if key.family is not Family.INTEGER and not table.is_untyped(key.name):
        yield drift(
            entity.key,
            f"is the key, but of type {key.declared}: no integer.",
            "Declare another column as the key, or a view that has an integer for it which stays "
            "the row's own: a column, or a small key table's. row_number() or a rank moves to "
            "other rows.",
        )
    # A view has neither keys nor NOT NULL to look at: `keys` looks at its rows.
    if table.is_view:
        return
    if entity.key not in table.unique:
        yield drift(
            entity.key,
            "is the key, but may hold one value twice.",
            "Make it the table's primary key or unique; a key of several columns needs a view "
            "that has one which stays the row's own (no row_number()).",
        )
    elif key.is_nullable:
        yield drift(
            entity.key,
            "is the key, but may be null.",
            "Make it NOT NULL, or declare a view that leaves such rows out.",
        )
