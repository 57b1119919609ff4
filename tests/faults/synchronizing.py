"""A legacy database for workers that faults happen to, and what must be true at the end.

Written from the declarations alone, apart from the product's own comparison: what that one
overlooks has to be found here.
"""

import contextlib

from django.db import connections

from migrationsync.dispatch.legacy.making import make_legacy
from migrationsync.entities import RowError, entities
from migrationsync.models import LegacyIdMapping, MigrationCheckpoint, QuarantinedRow
from migrationsync.services.jobs import create_job
from migrationsync.source import Source
from operations.models import Event
from tests.faults.ending import wait_for_the_end
from tests.migrationsync.legacies import connected

ALIAS = "legacy"
BATCH = 200


@contextlib.contextmanager
def legacy(config, *, scale=None):
    """The database `config` as the alias `legacy`; with `scale`, with the office's tables."""
    with connected(ALIAS, config):
        if scale:
            make_legacy(ALIAS, scale=scale)
        yield Source(ALIAS)


def make_job(**fields):
    return create_job(
        by=None,
        job_name="Faults",
        entities_to_sync=[entity.name for entity in entities],
        max_records_per_batch=BATCH,
        # The generator makes more awkward rows than a migration should put up with.
        **{"max_failed_percent": 50, **fields},
    )


def wait_for_completion(job):
    wait_for_the_end(job)
    assert job.status == "completed", (job.status, job.error_message)


def assert_sound(job, source):
    """Each live row of the source is in the target once, as its declaration says, or in the
    quarantine; nothing else is in the target; nothing is stuck, and no event is missing."""
    uuids = {}
    for entity in entities.in_order():
        assert_entity_sound(entity, source, uuids)
    left = MigrationCheckpoint.objects.exclude(
        status="completed", lease_token=None, lease_until=None, due_at=None
    )
    assert list(left) == []
    assert (job.requested, job.waiting_reason) == ("", "")
    numbers = list(Event.objects.order_by("sequence").values_list("sequence", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    assert job.event_sequence == len(numbers)


def assert_entity_sound(entity, source, uuids):
    """`uuids`: by (entity, legacy id), of the entities before; this one's are added."""
    mapped = dict(
        LegacyIdMapping.objects.filter(entity_type=entity.name).values_list("legacy_id", "uuid_id")
    )
    uuids |= {(entity.name, key): uuid for key, uuid in mapped.items()}
    fields = [entity.target._meta.get_field(name).attname for name in entity.columns]
    target = {
        pk: tuple(values) for pk, *values in entity.target._base_manager.values_list("pk", *fields)
    }
    assert set(target) == set(mapped.values()), f"{entity.name}: rows without a mapping, or gone"
    quarantined = set(
        QuarantinedRow.objects.filter(entity_type=entity.name, resolved_at=None).values_list(
            "legacy_id", flat=True
        )
    )
    table = source.table(entity.source)
    alive = set()
    for batch in source.batches(table, (*entity.reads, entity.deleted), size=5_000):
        for *row, deleted in batch.rows:
            if entity.is_deleted(deleted):
                continue
            alive.add(row[0])
            if row[0] in quarantined:
                continue
            assert row[0] in mapped, f"{entity.name} {row[0]} is lost"
            assert target[mapped[row[0]]] == _expected(entity, row, uuids), row
    assert set(mapped) | quarantined == alive
    assert not set(mapped) & quarantined


def _expected(entity, row, uuids):
    try:
        _, *values = entity.convert(row)
    except RowError as error:
        raise AssertionError(f"{entity.name} {row[0]} should be in quarantine: {error}") from error
    for place, name in enumerate(entity.columns):
        if name in entity.foreign_keys and values[place] is not None:
            values[place] = uuids[entity.foreign_keys[name].entity, values[place]]
    return tuple(values)


def execute(statement, parameters=None):
    """In the legacy database, as its owner."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else None
