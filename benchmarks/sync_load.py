"""Every way of loading, on the same legacy rows, run after run in turn.

Owns what is in the target before, and which way runs when.
"""

from __future__ import annotations

import multiprocessing

from django.db import connection, connections
from rich.console import Console

from benchmarks.legacies import ALIAS, Legacy
from benchmarks.loaders import BATCH, ENTITY, load_bare, load_bulk_create
from benchmarks.processes import load_in_process
from benchmarks.sync_figures import BARE, BULK_CREATE, CONVERTERS, LOADS, PLAIN, Measured
from migrationsync.dispatch.legacy.making import make_legacy
from migrationsync.dispatch.legacy.tables import PRODUCT, TABLES
from migrationsync.entities import entities
from migrationsync.loading import load_batch


class RowsLost(Exception):
    """A way of loading left rows out; its time would mean nothing."""


def load(legacy: Legacy, size: int, *, runs: int, console: Console) -> list[Measured]:
    """Loads about `size` products in each way. Raises RowsLost."""
    with console.status(f"Making a legacy database of {size:,} products"):
        rows = _make(legacy, size)
    measured = []
    for run in range(1, runs + 1):
        # Who is first alternates.
        for way in LOADS if run % 2 else reversed(LOADS):
            with console.status(f"{size:,} products: {way}, run {run}"):
                legacy.databases.restore()
                found = _load(legacy, way, size, run)
                connection.close()
            if found.rows != rows:
                raise RowsLost(f"{way}: {found.rows:,} of {rows:,} rows were stored.")
            measured.append(found)
            console.print(
                f"{size:,} products: {way}, run {run}: {found.seconds:.2f} s, "
                f"{found.rows / found.seconds:,.0f} rows/s"
            )
    return measured


def _make(legacy: Legacy, size: int) -> int:
    """Legacy tables, with everything but the products migrated in the source database.

    Leaves only products that can be brought over: what is measured is loading, not
    refusing. Answers how many those are.
    """
    make_legacy(ALIAS, scale=size / PRODUCT.share, replace=True)
    with legacy.databases.source():
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE offices, legacy_id_mappings, migration_quarantine CASCADE")
        _migrate_parents(legacy)
        with connection.cursor() as cursor:
            cursor.execute("SELECT legacy_id FROM legacy_id_mappings WHERE entity_type = 'orders'")
            orders = [key for (key,) in cursor.fetchall()]
            cursor.execute("VACUUM (ANALYZE)")
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE migrated (id integer PRIMARY KEY)")
        with cursor.copy("COPY migrated FROM STDIN") as copy:
            copy.write("".join(f"{key}\n" for key in orders))
        cursor.execute(
            "DELETE FROM dispatch_product p WHERE qty < 0 OR deleted IS NOT NULL "
            "OR NOT EXISTS (SELECT FROM migrated m WHERE m.id = p.order_id)"
        )
        cursor.execute("DROP TABLE migrated")
        cursor.execute("VACUUM (ANALYZE) dispatch_product")
        cursor.execute("SELECT count(*) FROM dispatch_product")
        return int(cursor.fetchone()[0])


def _load(legacy: Legacy, way: str, size: int, run: int) -> Measured:
    if way in (PLAIN, CONVERTERS):
        connections[ALIAS].close()
        with multiprocessing.get_context("spawn").Pool(1) as process:
            stored, seconds, peak = process.apply(load_in_process, (way == PLAIN,))
        return Measured(way, size, run, stored, seconds, peak)
    loaders = {
        BARE: lambda: load_bare(legacy.url, legacy.databases.run_url),
        BULK_CREATE: load_bulk_create,
    }
    return Measured(way, size, run, *loaders[way]())


def _migrate_parents(legacy: Legacy) -> None:
    ours = {table.name for table in TABLES}
    ordered = entities.in_order(each.name for each in entities if each.source in ours)
    tables = legacy.source.check(ordered)
    for entity in ordered:
        after, finished = None, entity.name == ENTITY
        while not finished:
            loaded = load_batch(
                entity,
                legacy.source,
                tables[entity.name],
                after=after,
                size=BATCH,
                batch_name="parents",
            )
            after, finished = loaded.last, loaded.finished
