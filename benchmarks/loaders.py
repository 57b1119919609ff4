"""The ways to bring one legacy table over; each answers rows stored and seconds taken.

Owns ours, as the kernel's step calls it, and the opponents: the bare statements, and the ORM's
`bulk_create(update_conflicts=True)`.
"""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import transaction

from migrationsync.dispatch.models import Product
from migrationsync.entities import Entity, entities
from migrationsync.identifiers import uuid7
from migrationsync.loading import prepare, write
from migrationsync.models import LegacyIdMapping
from migrationsync.source import Source

ENTITY = "products"
BATCH = 50_000
# Rows of one INSERT of bulk_create.
INSERTED_AT_ONCE = 5_000


def load(in_sql: bool) -> tuple[int, float, float]:
    """Ours: rows, seconds, and this process's peak resident memory in MB."""
    entity, source = entities.get(ENTITY), Source()
    table = source.check([entity])[ENTITY]
    begun, rows, after = time.perf_counter(), 0, None
    while True:
        batch = prepare(entity, source, table, after=after, size=BATCH, in_sql=in_sql)
        rows += write(batch, batch_name="benchmark").inserted
        if batch.finished:
            break
        after = batch.last
    seconds = time.perf_counter() - begun
    return rows, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# A UUID of version 7, made as cheaply as SQL can: the batch's time and the row's number in it.
_UUID7 = (
    "(lpad(to_hex((ticks + row_number() OVER ()) >> 12), 12, '0') || '7' || "
    "lpad(to_hex((ticks + row_number() OVER ()) & 4095), 3, '0') || "
    "substr(gen_random_uuid()::text, 20))::uuid"
)
_READ = """
COPY (SELECT id, order_id, sku, title, qty, price, gift, created, modified FROM dispatch_product
      WHERE id > {after} ORDER BY id LIMIT {limit}) TO STDOUT"""
_STAGE = """
CREATE TEMPORARY TABLE staged (id integer, order_id integer, sku text, title text, qty integer,
    price numeric, gift boolean, created timestamp, modified timestamp) ON COMMIT DROP"""
_MAP = f"""
INSERT INTO legacy_id_mappings (id, entity_type, legacy_id, uuid_id, migration_batch,
    validation_status, source_table, target_table, checksum, target_checksum, metadata)
SELECT uuid, 'products', id, uuid, 'bare', 'pending', 'dispatch_product', 'products',
    '-', '-', '{{}}'
FROM (SELECT id, {_UUID7} AS uuid
      FROM staged, (SELECT (extract(epoch FROM now()) * 1000)::bigint << 12 AS ticks) t) s
ON CONFLICT (entity_type, legacy_id) DO NOTHING"""  # noqa: S608 - of constants
_UPSERT = """
INSERT INTO products
    (id, order_id, sku, name, quantity, unit_price, is_gift, created_at, updated_at)
SELECT m.uuid_id, o.uuid_id, sku, title, coalesce(qty, 1), price, coalesce(gift, false),
    created AT TIME ZONE 'Europe/Berlin', modified AT TIME ZONE 'Europe/Berlin'
FROM staged s
JOIN legacy_id_mappings m ON m.entity_type = 'products' AND m.legacy_id = s.id
JOIN legacy_id_mappings o ON o.entity_type = 'orders' AND o.legacy_id = s.order_id
ON CONFLICT (id) DO UPDATE SET order_id = excluded.order_id, sku = excluded.sku,
    name = excluded.name, quantity = excluded.quantity, unit_price = excluded.unit_price,
    is_gift = excluded.is_gift, created_at = excluded.created_at,
    updated_at = excluded.updated_at"""


def load_bare(source_url: str, target_url: str) -> tuple[int, float]:
    """COPY piped into a staging table, mapping and rows by one statement each, one transaction
    per batch. No checks, no checksums, nothing looked at twice."""
    with (
        psycopg.connect(source_url, autocommit=True) as source,
        psycopg.connect(target_url) as target,
    ):
        target.execute("SET jit = off; SET work_mem = '64MB'")
        target.commit()
        begun, rows, after = time.perf_counter(), 0, 0
        while True:
            target.execute(_STAGE)
            read = _READ.format(after=after, limit=BATCH).encode()
            with (
                source.cursor().copy(read) as out,
                target.cursor().copy("COPY staged FROM STDIN") as into,
            ):
                for data in out:
                    into.write(data)
            found = target.execute("SELECT count(*), max(id) FROM staged").fetchone() or (0, 0)
            target.execute(_MAP)
            rows += target.execute(_UPSERT).rowcount
            target.commit()
            if found[0] < BATCH:
                return rows, time.perf_counter() - begun
            after = found[1]


def load_bulk_create() -> tuple[int, float]:
    """What one writes with the ORM: the same converters, foreign keys looked up per batch."""
    entity, source = entities.get(ENTITY), Source()
    table = source.check([entity])[ENTITY]
    attributes = {each.name: each.attname for each in Product._meta.concrete_fields}
    fields = [attributes[name] for name in entity.columns]
    begun, rows = time.perf_counter(), 0
    for batch in source.batches(table, entity.reads, size=BATCH):
        with transaction.atomic():
            products, mappings = _objects(entity, fields, batch.rows)
            Product.objects.bulk_create(
                products,
                batch_size=INSERTED_AT_ONCE,
                update_conflicts=True,
                unique_fields=["id"],
                update_fields=fields,
            )
            LegacyIdMapping.objects.bulk_create(
                mappings,
                batch_size=INSERTED_AT_ONCE,
                update_conflicts=True,
                unique_fields=["entity_type", "legacy_id"],
                update_fields=["checksum", "target_checksum"],
            )
        rows += len(products)
    return rows, time.perf_counter() - begun


def _objects(
    entity: Entity, fields: list[str], rows: list[tuple[Any, ...]]
) -> tuple[list[Product], list[LegacyIdMapping]]:
    converted = [entity.convert(row) for row in rows]
    place = 1 + list(entity.columns).index("order")
    orders = _mapped("orders", {row[place] for row in converted})
    known = _mapped(ENTITY, {row[0] for row in converted})
    products, mappings = [], []
    for key, *values in converted:
        values[place - 1] = orders[values[place - 1]]
        uuid = known.get(key) or uuid7()
        products.append(Product(id=uuid, **dict(zip(fields, values, strict=True))))
        mappings.append(
            LegacyIdMapping(
                entity_type=ENTITY,
                legacy_id=key,
                uuid_id=uuid,
                migration_batch="orm",
                source_table=entity.source,
                target_table=Product._meta.db_table,
                checksum="-",
                target_checksum="-",
            )
        )
    return products, mappings


def _mapped(name: str, keys: set[int]) -> dict[int, Any]:
    mappings = LegacyIdMapping.objects.filter(entity_type=name)
    found: dict[int, Any] = {}
    for some in _chunks(keys):
        found |= mappings.filter(legacy_id__in=some).values_list("legacy_id", "uuid_id")
    return found


def _chunks(keys: set[int]) -> Iterator[list[int]]:
    all_of_them = iter(keys)
    while some := list(itertools.islice(all_of_them, INSERTED_AT_ONCE)):
        yield some
