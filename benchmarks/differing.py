"""Two databases that differ in a hundred rows, and the ways to find them.

Owns the data and what each way runs. Both sides are written by SQL, alike, and then made to
differ: 40 rows changed (half of them on each side), 30 that only the source has, 30 that it has
no more.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg
from django.db import connection

from migrationsync.checksums import source_sql, target_sql
from migrationsync.comparing import ChangedSince, Differential, Segment, dialect
from migrationsync.dispatch.legacy.tables import PRODUCT
from migrationsync.entities import entities
from migrationsync.source import Source

RELADIFF = "reladiff[postgresql]==0.6.0"
CHANGED, MISSING, GONE = 40, 30, 30
DIFFERENCES = CHANGED + MISSING + GONE

# How a good engineer would run the bare sums: planned as ours are, and not sorted on the disk.
_PLANNED = "; ".join(
    f"SET {name} = {to}"
    for name, to in {**dialect.SUMMING, "jit": "off", "work_mem": "'64MB'"}.items()
)
_ENTITY = entities.get("products")
_VIEW = "migrated_products"
# What reladiff is asked to compare; `gift` and the foreign key are left out in its favour.
_COMPARED = ("sku", "title", "qty", "price", "created", "modified")
# Seven of 107 keys are gone, as in every old table. No clock shows an hour of the night: of those
# that summer time leaves out the view would make others.
_ROWS = """
INSERT INTO dispatch_product
SELECT n + n / 100 * 7, 1, 'SKU-' || n %% 10000, 'Ware ' || n %% 977, 1 + n %% 12,
       (n %% 500000) / 100.0, n %% 3 = 0,
       timestamp '2016-01-01 06:00' + n %% 1000 * interval '1 day' + n / 1000 * interval '9 s',
       timestamp '2020-01-01 06:00' + n %% 1000 * interval '1 day' + n / 1000 * interval '9 s',
       NULL
FROM generate_series(1, %s) n"""
# Keys in the order of time, as the loading makes them.
_UUID = (
    "(lpad(to_hex(1700000000000 + id / 50), 12, '0') || '7' || lpad(to_hex(id %% 50 * 80), 3, '0')"
    " || '8' || left(md5(id::text), 15))::uuid"
)
_ABOVE = """
INSERT INTO offices (id, name, city, phone, is_active, created_at, updated_at)
VALUES (gen_random_uuid(), 'o', '', '', true, now(), now());
INSERT INTO profiles (id, office_id, name, email, role, created_at, updated_at)
SELECT gen_random_uuid(), id, 'p', '', 'clerk', now(), now() FROM offices;
INSERT INTO doctors (id, profile_id, licence, specialty, hourly_fee, takes_patients, created_at,
                     updated_at)
SELECT gen_random_uuid(), id, 'l', '', 1, true, now(), now() FROM profiles;
INSERT INTO patients (id, doctor_id, name, email, phone, notes, created_at, updated_at)
SELECT gen_random_uuid(), id, 'p', '', '', '', now(), now() FROM doctors;
INSERT INTO orders (id, patient_id, number, status, total, placed_at, created_at, updated_at)
SELECT gen_random_uuid(), id, 'n', 'new', 1, now(), now(), now() FROM patients"""
_TARGETS = f"""
INSERT INTO products (id, order_id, sku, name, quantity, unit_price, is_gift, created_at,
                      updated_at)
SELECT {_UUID}, (SELECT id FROM orders), sku, title, qty, price, gift,
       created AT TIME ZONE 'Europe/Berlin', modified AT TIME ZONE 'Europe/Berlin'
FROM dispatch_product ORDER BY id"""  # noqa: S608
_MAPPING = """
INSERT INTO legacy_id_mappings (id, entity_type, legacy_id, uuid_id, migration_batch,
                                validation_status, source_table, target_table, checksum,
                                target_checksum, last_synced, metadata)
SELECT t.id, 'products', s.id, t.id, 'benchmark', 'pending', 'dispatch_product', 'products',
       {source}, {target},
       concat_ws(E'\\t', s.order_id, s.sku, s.title, s.qty, s.price, s.gift, t.created_at,
                 t.updated_at),
       '{{}}'
FROM dispatch_product s JOIN products t ON t.id = {uuid} ORDER BY s.id"""
_SEEN = f"""
CREATE VIEW {_VIEW} AS
SELECT m.legacy_id::integer AS id, t.sku, t.name AS title, t.quantity AS qty,
       t.unit_price AS price, (t.created_at AT TIME ZONE 'Europe/Berlin')::timestamp(0) AS created,
       (t.updated_at AT TIME ZONE 'Europe/Berlin')::timestamp(0) AS modified
FROM products t JOIN legacy_id_mappings m ON m.entity_type = 'products' AND m.uuid_id = t.id"""  # noqa: S608


def fill(source: Source, rows: int) -> None:
    """`rows` products on both sides, alike. Django is connected to the target, which is
    emptied."""
    with source.connection.cursor() as legacy, connection.cursor() as target:
        target.execute("TRUNCATE offices, legacy_id_mappings, migration_quarantine CASCADE")
        target.execute(f"DROP VIEW IF EXISTS {_VIEW}")
        for cursor in (legacy, target):
            cursor.execute(PRODUCT.create("postgresql"))
            cursor.execute(_ROWS, [rows])
        for statement in PRODUCT.create_indexes():
            legacy.execute(statement)
        legacy.execute("VACUUM ANALYZE dispatch_product")
        table = source.table(PRODUCT.name)
        if table is None:
            raise RuntimeError("The legacy table is gone.")
        target.execute(_ABOVE)
        target.execute(_TARGETS.replace("%%", "%"))
        # The target's database has the source's rows for a moment, so it can take their checksums.
        target.execute(
            _MAPPING.format(
                source=source_sql(_ENTITY, table, "postgresql", "s."),
                target=target_sql(_ENTITY, "t."),
                uuid=_UUID.replace("%%", "%").replace("id ", "s.id ").replace("(id:", "(s.id:"),
            )
        )
        target.execute("DROP TABLE dispatch_product")
        target.execute("VACUUM ANALYZE products")
        target.execute("VACUUM ANALYZE legacy_id_mappings")
        target.execute(_SEEN)


def differ(source: Source, rows: int) -> set[int]:
    """Makes the two differ, spread over the whole; answers the legacy ids that do."""
    step = rows // DIFFERENCES

    def key(number: int) -> int:
        return number + number // 100 * 7

    changed = [key(n * step + 50) for n in range(CHANGED)]
    gone = [key((CHANGED + n) * step + 50) for n in range(GONE)]
    # Where keys are free: behind each hundred.
    missing = [
        key(n * step * (DIFFERENCES // MISSING) // 100 * 100 + 99) + 1 for n in range(MISSING)
    ]
    with source.connection.cursor() as legacy:
        legacy.execute(
            "UPDATE dispatch_product SET title = 'changed', modified = '2031-01-01' "
            "WHERE id = ANY(%s)",
            [changed[::2]],
        )
        legacy.execute("DELETE FROM dispatch_product WHERE id = ANY(%s)", [gone])
        legacy.execute(
            "INSERT INTO dispatch_product SELECT n, 1, 'new', 'new', 1, 1, true, '2031-01-01', "
            "'2031-01-01', NULL FROM unnest(%s::int[]) n",
            [missing],
        )
    with connection.cursor() as target:
        target.execute(
            "UPDATE products SET name = 'changed' WHERE id IN (SELECT uuid_id FROM "
            "legacy_id_mappings WHERE legacy_id = ANY(%s))",
            [changed[1::2]],
        )
    return {*changed, *gone, *missing}


class Ways:
    """Each answers the seconds it took, and the legacy ids it found (None: it finds none)."""

    def __init__(
        self, source: Source, legacy_url: str, target_url: str, reladiff: Path | None
    ) -> None:
        self._source = source
        self._urls = legacy_url, target_url
        self._reladiff = reladiff
        table = source.table(PRODUCT.name)
        if table is None:
            raise RuntimeError("The legacy table is gone.")
        checksum = source_sql(_ENTITY, table, "postgresql")
        self._bare_source = _sums("id", checksum, "dispatch_product WHERE deleted IS NULL")
        mapped = "legacy_id_mappings m {}WHERE m.entity_type = 'products'"
        self._bare_target = _sums(
            "m.legacy_id",
            target_sql(_ENTITY, "t."),
            mapped.format("JOIN products t ON t.id = m.uuid_id "),
        )
        self._bare_stored = _sums("m.legacy_id", "m.checksum", mapped.format(""))

    def source_check(self) -> tuple[float, set[int]]:
        return _timed(lambda: Differential(_ENTITY, self._source, source_only=True).segments())

    def timestamp(self) -> tuple[float, set[int]]:

        since = dt.datetime(2030, 12, 31, tzinfo=dt.UTC)
        return _timed(lambda: ChangedSince(_ENTITY, self._source, since).segments())

    def sums(self) -> tuple[float, None]:
        return self._bare(self._bare_target)

    def source_sums(self) -> tuple[float, None]:
        return self._bare(self._bare_stored)

    def reladiff(self) -> tuple[float, set[int]]:
        if self._reladiff is None:
            raise RuntimeError("reladiff isn't installed.")
        # It knows the longer name of PostgreSQL only.
        legacy, target = (f"postgresql:{url.partition(':')[2]}" for url in self._urls)
        columns = [part for name in _COMPARED for part in ("-c", name)]
        began = time.monotonic()
        answer = subprocess.run(
            [self._reladiff, legacy, PRODUCT.name, target, _VIEW, *columns, "--json", "-j", "2"],
            check=True,
            capture_output=True,
            text=True,
            # It breaks lines of JSON, too, where the terminal ends.
            env={**os.environ, "COLUMNS": "10000"},
        )
        seconds = time.monotonic() - began
        if answer.stderr:
            raise RuntimeError(f"reladiff: {answer.stderr}")
        return seconds, {int(json.loads(line)[1][0]) for line in answer.stdout.splitlines()}

    def _bare(self, of_target: str) -> tuple[float, None]:
        legacy, target = self._urls
        with psycopg.connect(legacy) as one, psycopg.connect(target) as other:
            for server in (one, other):
                server.execute(_PLANNED)
            began = time.monotonic()
            one.execute(self._bare_source).fetchall()
            other.execute(of_target).fetchall()
            return time.monotonic() - began, None


def differential() -> tuple[float, set[int]]:
    """Ours. The legacy database is the alias that the environment names."""
    source = Source()
    # As a worker has them, and as the bare sums do.
    source.connection.ensure_connection()
    connection.ensure_connection()
    return _timed(lambda: Differential(_ENTITY, source).segments())


def install_reladiff(folder: Path) -> Path:
    """Into an environment of its own: its dependencies are older than ours."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", RELADIFF], check=True)
    return folder / "bin" / "reladiff"


def _sums(key: str, checksum: str, table: str) -> str:
    return (
        f"SELECT {key} / 512, count(*), sum(('x' || left({checksum}, 15))::bit(60)::bigint) "  # noqa: S608
        f"FROM {table} GROUP BY 1"
    )


def _timed(start: Callable[[], Iterable[Segment]]) -> tuple[float, set[int]]:
    began = time.monotonic()
    found = {
        each.legacy_id
        for segment in start()
        for each in segment.differences
        if each.legacy_id is not None
    }
    return time.monotonic() - began, found
