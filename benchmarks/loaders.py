"""The ways to bring one legacy table over; each answers rows stored and seconds taken.

Owns ours, as the kernel's step calls it, and the opponents: the bare statements, and the ORM's
`bulk_create(update_conflicts=True)`.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import psycopg
from django.db import transaction
from django.utils import timezone

from migrationsync.dispatch.models import Product
from migrationsync.entities import Entity, entities
from migrationsync.identifiers import uuid7
from migrationsync.loading import prepare, write
from migrationsync.models import LegacyIdMapping
from migrationsync.source import Source

ENTITY = "products"
BATCH = 50_000
# Rows of one INSERT of bulk_create.
CHUNK = 1_000


def load(in_sql: bool) -> tuple[int, float]:
    """Ours."""
    entity, source = entities.get(ENTITY), Source()
    table = source.check([entity])[ENTITY]
    begun, rows, after = time.perf_counter(), 0, None
    while True:
        batch = prepare(entity, source, table, after=after, size=BATCH, in_sql=in_sql)
        rows += write(batch, batch_name="benchmark").inserted
        if batch.finished:
            break
        after = batch.last
    return rows, time.perf_counter() - begun


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
    """What one writes with the ORM who has looked at a profile: the same converters, a chunk's
    foreign keys and known rows by one query each, one UUID for a row and its mapping."""
    entity, source = entities.get(ENTITY), Source()
    table = source.check([entity])[ENTITY]
    attributes = {each.name: each.attname for each in Product._meta.concrete_fields}
    fields = [attributes[name] for name in entity.columns]
    begun, rows, now = time.perf_counter(), 0, timezone.now()
    for batch in source.batches(table, entity.reads, size=BATCH):
        with transaction.atomic():
            for chunk in _chunks(batch.rows):
                products, mappings = _objects(entity, fields, chunk, now)
                Product.objects.bulk_create(
                    products, update_conflicts=True, unique_fields=["id"], update_fields=fields
                )
                LegacyIdMapping.objects.bulk_create(
                    mappings,
                    update_conflicts=True,
                    unique_fields=["entity_type", "legacy_id"],
                    update_fields=["checksum", "target_checksum"],
                )
                rows += len(products)
    return rows, time.perf_counter() - begun


def _objects(
    entity: Entity, fields: list[str], rows: Sequence[tuple[Any, ...]], now: dt.datetime
) -> tuple[list[Product], list[LegacyIdMapping]]:
    converted = [entity.convert(row) for row in rows]
    place = 1 + list(entity.columns).index("order")
    orders = _mapped("orders", legacy_id__in={row[place] for row in converted})
    # They come in the order of their keys.
    known = _mapped(ENTITY, legacy_id__range=(converted[0][0], converted[-1][0]))
    products, mappings = [], []
    for key, *values in converted:
        values[place - 1] = orders[values[place - 1]]
        uuid = known.get(key) or uuid7()
        products.append(Product(id=uuid, **dict(zip(fields, values, strict=True))))
        mappings.append(
            LegacyIdMapping(
                id=uuid,
                entity_type=ENTITY,
                legacy_id=key,
                uuid_id=uuid,
                migration_batch="orm",
                # Not left to its db_default: one expression among a statement's values, and Django
                # sends each value as a parameter of its own, not each column as an array. That
                # takes four times as long.
                migration_timestamp=now,
                source_table=entity.source,
                target_table=Product._meta.db_table,
                checksum="-",
                target_checksum="-",
            )
        )
    return products, mappings


def _mapped(name: str, **condition: Any) -> dict[int, UUID]:
    mappings = LegacyIdMapping.objects.filter(entity_type=name, **condition)
    return dict(mappings.values_list("legacy_id", "uuid_id"))


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
