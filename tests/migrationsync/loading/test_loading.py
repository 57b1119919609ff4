from __future__ import annotations

import dataclasses
import uuid

import pytest
from django.db import connection, connections

from migrationsync import last_synced
from migrationsync.checksums import source_sql, target_sql
from migrationsync.dispatch.legacy.making import make_legacy
from migrationsync.dispatch.models import Doctor, Office, Order, Product, Profile
from migrationsync.entities import Check, Column, ForeignKey, entities
from migrationsync.loading import load_batch, load_rows, prepare, retry_quarantined, write
from migrationsync.models import LegacyIdMapping, QuarantinedRow
from migrationsync.services.jobs import create_job
from migrationsync.source import SourceUnreachable
from tests.migrationsync.syncing import sync

pytestmark = pytest.mark.django_db
SMALL = 0.001


@pytest.fixture
def made(source):
    make_legacy(source.alias, scale=SMALL)
    return source


def load(source, *names, size=50, batch="first", in_sql=True):
    """Everything of these entities (of all, where none is named), batch by batch."""
    found = {}
    ordered = entities.in_order(names or None)
    for entity, table in zip(ordered, source.check(ordered).values(), strict=True):
        after, totals = None, {"inserted": 0, "updated": 0, "unchanged": 0, "refused": 0}
        while True:
            batch_ = prepare(entity, source, table, after=after, size=size, in_sql=in_sql)
            written = write(batch_, batch_name=batch)
            totals["inserted"] += written.inserted
            totals["updated"] += written.updated
            totals["unchanged"] += written.unchanged
            totals["refused"] += len(written.refusals)
            if batch_.finished:
                break
            after = batch_.last
        found[entity.name] = totals
    return found


def everything():
    """All that was written, without what differs by chance: UUIDs are named by legacy keys."""
    keys = dict(LegacyIdMapping.objects.values_list("uuid_id", "legacy_id"))
    rows = {}
    for entity in entities.in_order():
        for row in entity.target.objects.values():
            named = {
                name: keys.get(value, value) if isinstance(value, uuid.UUID) else value
                for name, value in row.items()
            }
            rows[entity.name, named.pop("id")] = named
    mapped = set(
        LegacyIdMapping.objects.values_list(
            "entity_type", "legacy_id", "source_table", "target_table", "checksum"
        )
    )
    quarantined = {
        (row.entity_type, row.legacy_id): (row.reasons, row.data)
        for row in QuarantinedRow.objects.filter(resolved_at=None)
    }
    return rows, mapped, quarantined


def versions():
    """Which version of each row there is: a row that is written again has another."""
    tables = [entity.target._meta.db_table for entity in entities]
    found = {}
    with connection.cursor() as cursor:
        for table in (*tables, "legacy_id_mappings", "migration_quarantine"):
            cursor.execute(f"SELECT id, ctid::text, xmin::text, xmax::text FROM {table}")
            found[table] = set(cursor.fetchall())
    return found


def reasons(name, key):
    row = QuarantinedRow.objects.get(entity_type=name, legacy_id=key, resolved_at=None)
    return [(each["column"], each["problem"]) for each in row.reasons]


def mapped(name, key):
    return LegacyIdMapping.objects.get(entity_type=name, legacy_id=key)


# --- a whole database ------------------------------------------------------------------


def test_every_row_is_stored_refused_or_deleted(made) -> None:
    found = load(made)
    for entity in entities.in_order():
        rows = entity.target.objects.count()
        mappings = LegacyIdMapping.objects.filter(entity_type=entity.name).count()
        refused = QuarantinedRow.objects.filter(entity_type=entity.name).count()
        assert rows == mappings == found[entity.name]["inserted"] > 0
        assert refused == found[entity.name]["refused"]
        table = made.table(entity.source)
        keys = made.read(table, [entity.key, entity.deleted], limit=10_000).rows
        alive = [key for key, mark in keys if not entity.is_deleted(mark)]
        assert rows + refused == len(alive)


def test_same_batches_again_change_nothing(made) -> None:
    first = load(made)
    before = versions()
    again = load(made, size=77)
    assert versions() == before
    for name, found in again.items():
        assert (found["inserted"], found["updated"]) == (0, 0)
        assert (found["unchanged"], found["refused"]) == (
            first[name]["inserted"],
            first[name]["refused"],
        )


# One legacy database's rows, by the way they came; filled by the first.
_seen = []


@pytest.mark.parametrize("in_sql", [True, False])
def test_rows_are_the_same_from_every_engine_and_both_ways(made, in_sql) -> None:
    load(made, in_sql=in_sql)
    rows, mappings, quarantined = everything()
    # Of the source's checksums each engine has its own; times are shown as the engine has them.
    alike = (rows, {each[:-1] for each in mappings}, {k: v[0] for k, v in quarantined.items()})
    _seen.append(alike)
    assert alike == _seen[0]


def test_both_ways_store_the_same_rows_checksums_and_refusals(made) -> None:
    if made.vendor != "postgresql":
        # Only PostgreSQL converts by itself.
        return
    load(made, in_sql=True)
    by_sql = everything()
    for model in (Office, LegacyIdMapping, QuarantinedRow):
        model.objects.all().delete()
    load(made, in_sql=False)
    assert everything() == by_sql


def test_checksums_are_those_that_each_side_computes(made) -> None:
    load(made)
    for entity in entities.in_order():
        stored = {
            row.legacy_id: (row.checksum, row.uuid_id, row.target_checksum)
            for row in LegacyIdMapping.objects.filter(entity_type=entity.name)
        }
        table = made.table(entity.source)
        with connections[made.alias].cursor() as cursor:
            expression = source_sql(entity, table, made.vendor)
            cursor.execute(f"SELECT {entity.key}, {expression} FROM {entity.source}")
            theirs = dict(cursor.fetchall())
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id, {target_sql(entity)} FROM {entity.target._meta.db_table}")
            ours = dict(cursor.fetchall())
        assert stored
        for key, (checksum, new_key, target_checksum) in stored.items():
            assert (checksum, target_checksum) == (theirs[key], ours[new_key])


def test_keys_are_in_the_order_of_the_legacy_keys(made) -> None:
    load(made)
    mappings = LegacyIdMapping.objects.filter(entity_type="products")
    uuids = [each for _, each in sorted(mappings.values_list("legacy_id", "uuid_id"))]
    assert uuids == sorted(uuids)
    assert {each.version for each in uuids} == {7}


# --- what changed in the source ---------------------------------------------------------


def test_last_synced_values_are_those_of_the_target(made) -> None:
    load(made)
    uuids = {(row.entity_type, row.legacy_id): row.uuid_id for row in LegacyIdMapping.objects.all()}
    for entity in entities.in_order():
        rows = {row.pk: row for row in entity.target.objects.all()}
        for mapping in LegacyIdMapping.objects.filter(entity_type=entity.name):
            found = last_synced.values(entity, mapping.last_synced)
            for name, value in found.items():
                field = entity.target._meta.get_field(name)
                if name in entity.foreign_keys:
                    value = uuids[entity.foreign_keys[name].entity, value]
                assert value == getattr(rows[mapping.uuid_id], field.attname)


def test_changed_row_keeps_its_uuid(made, run) -> None:
    load(made, "offices")
    before = mapped("offices", 1)
    run("UPDATE dispatch_office SET name = %s WHERE id = 1", ["Somewhere\tnew \\N"])
    found = load(made, "offices", batch="second")["offices"]
    assert (found["inserted"], found["updated"], found["unchanged"]) == (0, 1, 2)
    after = mapped("offices", 1)
    assert after.uuid_id == before.uuid_id
    assert after.checksum != before.checksum
    assert after.target_checksum != before.target_checksum
    assert Office.objects.get(pk=after.uuid_id).name == "Somewhere\tnew \\N"
    assert mapped("offices", 2).migration_batch == "first"


def test_change_that_the_target_does_not_see_is_remembered(made, run) -> None:
    load(made, "offices")
    before = mapped("offices", 1)
    run("UPDATE dispatch_office SET name = name || '  ' WHERE id = 1" if made.vendor != "mysql"
        else "UPDATE dispatch_office SET name = concat(name, '  ') WHERE id = 1")  # fmt: skip
    found = load(made, "offices", batch="second")["offices"]
    assert (found["updated"], found["unchanged"]) == (0, 3)
    after = mapped("offices", 1)
    assert after.checksum != before.checksum
    assert after.target_checksum == before.target_checksum


def test_source_wins_over_what_the_target_has(made) -> None:
    load(made, "offices")
    before = mapped("offices", 1)
    name = Office.objects.get(pk=before.uuid_id).name
    Office.objects.filter(pk=before.uuid_id).update(name="Ours")
    Office.objects.filter(pk=mapped("offices", 2).uuid_id).delete()
    found = load(made, "offices", batch="second")["offices"]
    assert (found["inserted"], found["updated"], found["unchanged"]) == (1, 1, 1)
    assert Office.objects.get(pk=before.uuid_id).name == name
    assert Office.objects.filter(pk=mapped("offices", 2).uuid_id).exists()
    assert mapped("offices", 1).target_checksum == before.target_checksum


def test_changes_of_the_target_are_kept_where_that_is_asked_for(made, run) -> None:
    """Row 1 is changed in the target, row 2 deleted there, row 3 changed in the source alone."""
    load(made, "offices")
    before = {key: mapped("offices", key) for key in (1, 2, 3)}
    Office.objects.filter(pk=before[1].uuid_id).update(city="Ours")
    Office.objects.filter(pk=before[2].uuid_id).delete()
    run("UPDATE dispatch_office SET city = 'Theirs'")

    entity = entities.get("offices")
    table = made.check([entity])["offices"]
    batch = prepare(entity, made, table, size=10)
    found = write(batch, batch_name="second", keeps_changes=True)
    assert (found.kept, found.updated, found.inserted) == (2, 1, 0)
    assert Office.objects.get(pk=before[1].uuid_id).city == "Ours"
    assert not Office.objects.filter(pk=before[2].uuid_id).exists()
    assert Office.objects.get(pk=before[3].uuid_id).city == "Theirs"
    for key in (1, 2):
        assert mapped("offices", key).checksum == before[key].checksum
    assert mapped("offices", 3).checksum != before[3].checksum

    # Where both sides made the same change there is nothing to keep.
    Office.objects.filter(pk=before[1].uuid_id).update(city="Theirs")
    found = write(batch, batch_name="third", keeps_changes=True)
    assert (found.kept, found.updated, found.unchanged) == (1, 0, 2)
    assert mapped("offices", 1).checksum != before[1].checksum


def test_deleted_row_is_left_out_and_one_that_came_over_stays(made, run) -> None:
    run("UPDATE dispatch_office SET deleted = NULL")
    run("UPDATE dispatch_office SET deleted = '2024-01-01 00:00:00' WHERE id = 2")
    entity = entities.get("offices")
    table = made.table(entity.source)
    loaded = load_batch(entity, made, table, size=10, batch_name="first")
    assert (loaded.rows_read, loaded.inserted, loaded.deleted) == (3, 2, 1)
    run("UPDATE dispatch_office SET deleted = '2024-01-01 00:00:00' WHERE id = 1")
    loaded = load_batch(entity, made, table, size=10, batch_name="second")
    assert (loaded.unchanged, loaded.deleted, loaded.finished) == (1, 2, True)
    assert Office.objects.count() == 2


def test_batches_go_on_behind_the_last_key(made) -> None:
    entity = entities.get("offices")
    table = made.table(entity.source)
    first = load_batch(entity, made, table, size=2, batch_name="a")
    assert (first.last, first.rows_read, first.finished) == (2, 2, False)
    rest = load_batch(entity, made, table, after=2, until=2, size=2, batch_name="b")
    assert (rest.last, rest.rows_read, rest.finished) == (None, 0, True)
    rest = load_batch(entity, made, table, after=2, size=2, batch_name="c")
    assert (rest.last, rest.rows_read, rest.finished) == (3, 1, True)


# --- rows that can't come over ------------------------------------------------------------


def test_refused_value_is_kept_with_column_value_and_row(made, run) -> None:
    load(made, "offices", "profiles", "doctors", "patients", "orders")
    run("UPDATE dispatch_product SET qty = -7, deleted = NULL, order_id = 1 WHERE id = 2")
    load(made, "products")
    kept = QuarantinedRow.objects.get(entity_type="products", legacy_id=2)
    assert kept.reasons == [
        {"column": "qty", "value": "-7", "problem": "is below 0, the least the target can hold"}
    ]
    assert (kept.data["id"], kept.data["qty"], kept.data["order_id"]) == (2, -7, 1)
    assert not LegacyIdMapping.objects.filter(entity_type="products", legacy_id=2).exists()


def test_dangling_key_is_quarantined_and_resolved_when_the_other_row_came(made, run) -> None:
    run("UPDATE dispatch_profile SET office_id = 2, email = '', role_code = 1, prefs = NULL")
    load(made, "offices", "profiles")
    run("UPDATE dispatch_profile SET office_id = 999, deleted = NULL WHERE id = 3")
    entity = entities.get("profiles")
    table = made.table(entity.source)
    before = Profile.objects.count()
    # It came over once already: it keeps what it had.
    loaded = load_batch(entity, made, table, size=100, batch_name="second")
    assert loaded.quarantined == 1
    assert "points to a row of offices" in dict(reasons("profiles", 3))["office_id"]
    kept = QuarantinedRow.objects.get(legacy_id=3)
    assert (kept.data["office_id"], kept.attempts) == (999, 1)
    assert retry_quarantined(entity, made, table, [3], batch_name="third").quarantined == 1
    kept.refresh_from_db()
    assert (kept.attempts, kept.resolved_at) == (2, None)
    run("UPDATE dispatch_profile SET office_id = 1 WHERE id = 3")
    retried = retry_quarantined(entity, made, table, [3], batch_name="fourth")
    assert (retried.rows_read, retried.quarantined) == (1, 0)
    kept.refresh_from_db()
    assert kept.resolved_at is not None
    assert Profile.objects.count() == before
    office = Profile.objects.get(pk=mapped("profiles", 3).uuid_id).office_id
    assert office == mapped("offices", 1).uuid_id


def test_row_whose_parent_is_gone_from_the_target_is_quarantined(made, run) -> None:
    run("UPDATE dispatch_profile SET office_id = 1, email = '', role_code = 1, prefs = NULL")
    run("UPDATE dispatch_profile SET deleted = NULL")
    run("UPDATE dispatch_office SET deleted = NULL")
    run("UPDATE dispatch_profile SET office_id = 2 WHERE id IN (4, 5)")
    load(made, "offices")
    Office.objects.filter(pk=mapped("offices", 2).uuid_id).delete()
    found = load(made, "profiles")["profiles"]
    assert found["refused"] == 2
    assert "offices" in dict(reasons("profiles", 4))["office_id"]
    assert found["inserted"] == Profile.objects.count() == 18


@pytest.fixture
def doctors(made, run):
    """Three doctors with licences of their own, brought over."""
    run("DELETE FROM dispatch_doctor WHERE id > 3")
    run("UPDATE dispatch_office SET deleted = NULL")
    run(
        "UPDATE dispatch_profile SET deleted = NULL, office_id = 1, email = '', role_code = 1, "
        "prefs = NULL"
    )
    run("UPDATE dispatch_doctor SET deleted = NULL, profile_id = 1")
    for key in (1, 2, 3):
        run("UPDATE dispatch_doctor SET licence = %s WHERE id = %s", [f"L{key}", key])
    load(made, "offices", "profiles", "doctors")
    assert Doctor.objects.count() == 3


def test_of_two_rows_with_one_value_the_first_gets_it(made, run, doctors) -> None:
    for key in (5, 4):
        run(
            "INSERT INTO dispatch_doctor (id, profile_id, licence, fee, created, modified) "
            "VALUES (%s, 1, 'L9 ', 1, '2024-01-01 00:00:00', '2024-01-01 00:00:00')",
            [key],
        )
    found = load(made, "doctors")["doctors"]
    assert (found["inserted"], found["unchanged"], found["refused"]) == (1, 3, 1)
    assert reasons("doctors", 5) == [
        ("licence", "is another row's already (licence must be unique)")
    ]
    assert QuarantinedRow.objects.get(legacy_id=5).reasons[0]["value"] == "'L9'"
    before = versions()
    load(made, "doctors")
    assert versions() == before
    run("UPDATE dispatch_doctor SET licence = 'L8' WHERE id = 5")
    assert load(made, "doctors")["doctors"]["inserted"] == 1
    assert not QuarantinedRow.objects.filter(legacy_id=5, resolved_at=None).exists()


def test_row_in_the_target_keeps_the_value_that_another_wants(made, run, doctors) -> None:
    run("UPDATE dispatch_doctor SET licence = 'L3' WHERE id = 1")
    found = load(made, "doctors")["doctors"]
    assert (found["unchanged"], found["refused"]) == (2, 1)
    assert reasons("doctors", 1)[0][0] == "licence"
    assert Doctor.objects.get(pk=mapped("doctors", 1).uuid_id).licence == "L1"


def test_what_only_the_database_refuses_costs_its_row_only(made, run, doctors) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE doctors ADD CONSTRAINT no_seven CHECK (hourly_fee <> 7)")
    run("UPDATE dispatch_doctor SET fee = 7 WHERE id = 2")
    run("UPDATE dispatch_doctor SET fee = 8 WHERE id = 3")
    found = load(made, "doctors")["doctors"]
    assert (found["updated"], found["unchanged"], found["refused"]) == (1, 1, 1)
    ((column, problem),) = reasons("doctors", 2)
    assert column == ""
    assert "no_seven" in problem
    assert QuarantinedRow.objects.get(legacy_id=2).data["licence"].strip() == "L2"
    before = versions()
    load(made, "doctors")
    assert versions() == before


def test_check_in_sql_refuses_its_row_only(made, run) -> None:
    load(made, "offices", "profiles", "doctors", "patients")
    run(
        "UPDATE dispatch_order SET deleted = NULL, patient_id = 1, state = 'S', "
        "placed = '2024-01-02 00:00:00', shipped = '2024-01-03 00:00:00'"
    )
    run("UPDATE dispatch_patient SET deleted = NULL")
    run("UPDATE dispatch_order SET shipped = '2024-01-01 00:00:00' WHERE id = 4")
    if not LegacyIdMapping.objects.filter(entity_type="patients", legacy_id=1).exists():
        load(made, "patients")
    found = load(made, "orders", size=1000)["orders"]
    assert found["refused"] == 1
    ((_, problem),) = reasons("orders", 4)
    assert problem == "is refused: it isn't true that it was placed before it was shipped"
    assert Order.objects.count() == found["inserted"]


def test_check_that_raises_costs_its_row_only(made, run) -> None:
    run("UPDATE dispatch_office SET rent = 800, phone = NULL, deleted = NULL")
    run("UPDATE dispatch_office SET rent = NULL WHERE id = 2")

    def is_dear(row):
        if row["name"] == "odd":
            raise ValueError("\x00 \ud800 is odd")
        return row["monthly_rent"] > 0

    run("UPDATE dispatch_office SET name = 'odd' WHERE id = 3")
    entity = dataclasses.replace(
        entities.get("offices"), checks=[Check("costs something", is_dear)]
    )
    loaded = load_batch(entity, made, made.table(entity.source), size=10, batch_name="first")
    assert (loaded.inserted, loaded.quarantined) == (1, 2)
    ((_, problem),) = reasons("offices", 2)
    assert problem.startswith("is refused: it can't be told that it costs something: TypeError: ")
    ((_, problem),) = reasons("offices", 3)
    assert problem.endswith("ValueError: \\x00 \\ud800 is odd")


def test_quarantine_is_closed_for_rows_that_are_deleted_or_gone(made, run) -> None:
    run("UPDATE dispatch_office SET deleted = NULL, phone = 'none'")
    load(made, "offices")
    assert QuarantinedRow.objects.filter(resolved_at=None).count() == 3
    run("UPDATE dispatch_office SET deleted = '2024-01-01 00:00:00' WHERE id = 1")
    run("DELETE FROM dispatch_office WHERE id = 2")
    entity = entities.get("offices")
    table = made.table(entity.source)
    loaded = load_rows(entity, made, table, [1, 2], batch_name="second")
    assert (loaded.rows_read, loaded.deleted) == (1, 1)
    open_ones = QuarantinedRow.objects.filter(resolved_at=None)
    assert list(open_ones.values_list("legacy_id", flat=True)) == [3]


def test_database_that_is_at_fault_itself_blames_no_row(made) -> None:
    entity = entities.get("offices")
    prepared = prepare(entity, made, made.table(entity.source), size=10)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE offices RENAME COLUMN city TO town")
    with pytest.raises(Exception, match="city"):
        write(prepared, batch_name="first")


def test_source_that_is_away_writes_nothing(made) -> None:
    entity = entities.get("offices")
    table = made.table(entity.source)
    settings = connections[made.alias].settings_dict
    name = settings["NAME"]
    connections[made.alias].close()
    settings["NAME"] = "/nowhere/at/all"
    try:
        with pytest.raises(SourceUnreachable):
            load_batch(entity, made, table, size=10, batch_name="first")
    finally:
        settings["NAME"] = name
    assert not LegacyIdMapping.objects.exists()


# --- awkward data -----------------------------------------------------------------------

AWKWARD = [
    "\\N", "\\", "a\tb", "a\nb", "\\n", " x ", "\u00a0y\u00a0", "👩‍⚕️", "'", '"', "%s %%",
    "{}", "NULL", "\\.", "\x1f\x1e", "ß" * 120, "a\\\tb\r\n",
]  # fmt: skip


@pytest.mark.parametrize("in_sql", [True, False])
def test_awkward_texts_come_over_as_they_are(made, run, in_sql) -> None:
    run("DELETE FROM dispatch_office")
    for number, name in enumerate(AWKWARD):
        run(
            "INSERT INTO dispatch_office (id, name, created, modified) "
            "VALUES (%s, %s, '2024-03-31 02:30:00', '2024-10-27 02:30:00')",
            [number, name],
        )
    load(made, "offices", in_sql=in_sql)
    names = {
        row.legacy_id: Office.objects.get(pk=row.uuid_id).name
        for row in LegacyIdMapping.objects.all()
    }
    assert names == {number: name.strip(" \u00a0\r\n") for number, name in enumerate(AWKWARD)}
    offices = entities.get("offices")
    kept = {
        row.legacy_id: last_synced.values(offices, row.last_synced)["name"]
        for row in LegacyIdMapping.objects.all()
    }
    assert kept == names


def test_key_that_may_be_null_stays_null_where_it_is(made, run, monkeypatch) -> None:
    # No table of the office's has one: products without an order, for a moment.
    monkeypatch.setattr(Product._meta.get_field("order"), "null", True)
    products = entities.get("products")
    declared = type(products)(
        name="loose",
        source="dispatch_product",
        target=Product,
        script="loose.ts",
        columns={**products.columns, "order": ForeignKey("orders", "order_id"), "sku": Column()},
    )
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE products ALTER order_id DROP NOT NULL")
    run("DELETE FROM dispatch_product WHERE id > 2")
    run("UPDATE dispatch_product SET order_id = NULL WHERE id = 1")
    run("UPDATE dispatch_product SET order_id = 999999 WHERE id = 2")
    table = made.table("dispatch_product")
    loaded = load_batch(declared, made, table, size=10, batch_name="first")
    assert (loaded.inserted, loaded.quarantined) == (1, 1)
    assert Product.objects.get().order_id is None


def test_sync_takes_over_values_that_two_rows_swapped(made, run, doctors) -> None:
    job = create_job(
        job_name="Doctors",
        entities_to_sync=["doctors"],
        source_alias=made.alias,
        by=None,
    )
    run("UPDATE dispatch_doctor SET licence = 'L0' WHERE id = 1")
    run("UPDATE dispatch_doctor SET licence = 'L1' WHERE id = 2")
    run("UPDATE dispatch_doctor SET licence = 'L2' WHERE id = 1")
    sync(job, "sync")
    licences = {key: Doctor.objects.get(pk=mapped("doctors", key).uuid_id).licence
                for key in (1, 2, 3)}  # fmt: skip
    assert licences == {1: "L2", 2: "L1", 3: "L3"}
    assert not QuarantinedRow.objects.filter(resolved_at=None).exists()
