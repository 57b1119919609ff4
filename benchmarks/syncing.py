"""One comparison: every way of loading, on the same legacy rows, run after run in turn.

Owns the legacy database, what is in the target before, and which way runs when.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.db import connection, connections
from psycopg import sql
from rich.console import Console

from benchmarks.databases import Databases
from benchmarks.loaders import BATCH, ENTITY, load_bare, load_bulk_create
from benchmarks.loading_process import load_in_process
from benchmarks.sync_figures import BARE, BULK_CREATE, CONVERTERS, PLAIN, WAYS, Load
from config.legacy import legacy_database
from migrationsync.dispatch.legacy.making import make_legacy
from migrationsync.dispatch.legacy.tables import PRODUCT
from migrationsync.entities import entities
from migrationsync.loading import load_batch
from migrationsync.source import Source

ALIAS = "legacy"


class RowsLost(Exception):
    """A way of loading left rows out; its time would mean nothing."""


class LoadComparison:
    def __init__(self, databases: Databases, console: Console) -> None:
        self._databases = databases
        self._console = console
        parts = urlsplit(databases.run_url)
        self._legacy_name = databases.run_name + "_legacy"
        self._legacy_url = urlunsplit(parts._replace(path=f"/{self._legacy_name}"))
        self.loads: list[Load] = []

    def compare(self, sizes: Sequence[int], *, runs: int) -> None:
        with self._legacy():
            for size in sizes:
                with self._console.status(f"Making a legacy database of {size:,} products"):
                    rows = self._make(size)
                for run in range(1, runs + 1):
                    # Who is first alternates.
                    for way in WAYS if run % 2 else reversed(WAYS):
                        self._measure(way, size, run, rows)

    @contextmanager
    def _legacy(self) -> Iterator[None]:
        """A database of its own on the same server, known to Django here and in processes
        started from here."""
        os.environ["LEGACY_DATABASE_URL"] = self._legacy_url
        connections.settings[ALIAS] = legacy_database(self._legacy_url)
        connections.configure_settings(connections.settings)
        name = sql.Identifier(self._legacy_name)
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
        with psycopg.connect(self._databases.maintenance_url, autocommit=True) as server:
            server.execute(drop)
            server.execute(sql.SQL("CREATE DATABASE {}").format(name))
            try:
                yield
            finally:
                connections[ALIAS].close()
                server.execute(drop)

    def _make(self, size: int) -> int:
        """Legacy tables, with everything but the products migrated in the source database.

        Leaves only products that can be brought over: what is measured is loading, not
        refusing. Answers how many those are.
        """
        make_legacy(ALIAS, scale=size / PRODUCT.share, replace=True)
        with self._databases.source():
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE offices, legacy_id_mappings, migration_quarantine CASCADE")
            _migrate_parents()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT legacy_id FROM legacy_id_mappings WHERE entity_type = 'orders'"
                )
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

    def _measure(self, way: str, size: int, run: int, rows: int) -> None:
        with self._console.status(f"{size:,} products: {way}, run {run}"):
            self._databases.restore()
            load = self._load(way, size, run)
            connection.close()
        if load.rows != rows:
            raise RowsLost(f"{way}: {load.rows:,} of {rows:,} rows were stored.")
        self.loads.append(load)
        self._console.print(
            f"{size:,} products: {way}, run {run}: {load.seconds:.2f} s, "
            f"{load.rows / load.seconds:,.0f} rows/s"
        )

    def _load(self, way: str, size: int, run: int) -> Load:
        if way in (PLAIN, CONVERTERS):
            connections[ALIAS].close()
            with multiprocessing.get_context("spawn").Pool(1) as process:
                stored, seconds, peak = process.apply(load_in_process, (way == PLAIN,))
            return Load(way, size, run, stored, seconds, peak)
        loaders = {
            BARE: lambda: load_bare(self._legacy_url, self._databases.run_url),
            BULK_CREATE: load_bulk_create,
        }
        return Load(way, size, run, *loaders[way]())


def _migrate_parents() -> None:
    source = Source(ALIAS)
    ordered = entities.in_order()
    tables = source.check(ordered)
    for entity in ordered:
        after, finished = None, entity.name == ENTITY
        while not finished:
            loaded = load_batch(
                entity,
                source,
                tables[entity.name],
                after=after,
                size=BATCH,
                batch_name="parents",
            )
            after, finished = loaded.last, loaded.finished
