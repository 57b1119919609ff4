"""A field of each type, from a source of each engine: brought over, compared, written back."""

from __future__ import annotations

import datetime as dt
import uuid
from types import SimpleNamespace

import pytest
from django.db import connection

from migrationsync.comparing import Differential, explain
from migrationsync.converters import Duration
from migrationsync.entities import Column, Entity, ForeignKey
from migrationsync.loading import prepare, write
from migrationsync.models import LegacyIdMapping, QuarantinedRow
from migrationsync.returning import give_back
from migrationsync.validating.relationships import RelationshipIntegrity
from tests.migrationsync.comparing.offices import found as differing
from tests.migrationsync.returning.ledgers import Ledger
from tests.migrationsync.shelf import Gauge
from tests.migrationsync.validating.walking import walked, wrong

pytestmark = pytest.mark.django_db

ID = uuid.UUID("0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b")
OTHER = uuid.UUID("0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5c")

# By engine, the columns' types: of the engine's own, and of those that older schemas have.
TYPES = {
    "postgresql": ("float8", "uuid", "time", "interval", "bytea", "text", "inet"),
    "mysql": ("double", "uuid", "time(6)", "time(6)", "blob", "text", "inet6"),
    "sqlite": ("real", "uuid", "time", "text", "blob", "text", "varchar(39)"),
    "old": ("decimal(9, 4)", "char(32)", "varchar(20)", "integer", None, "text", "bigint"),
}
NAMES = ("level", "token", "opens_at", "lasts", "seal", "plan", "host")


def entity(kind):
    lasts = Duration(unit="minutes") if kind == "old" else None
    return Entity(
        name="gauges",
        source="gauge",
        target=Gauge,
        script="x",
        columns={
            **{name: Column() for name in NAMES},
            "lasts": Column(converter=lasts),
            "next": ForeignKey("gauges", "next_id", null_as=0),
        },
    )


@pytest.fixture
def table():
    with connection.schema_editor() as editor:
        editor.create_model(Gauge)


@pytest.fixture(params=["own", "old"])
def kind(request, source, run, table):
    """Makes the source's table, with three rows."""
    kind = source.vendor if request.param == "own" else "old"
    blob = dict(zip(TYPES[source.vendor], TYPES[source.vendor], strict=True))
    binary = next(each for each in blob if each in ("bytea", "blob"))
    columns = ", ".join(
        f"{name} {declared or binary}" for name, declared in zip(NAMES, TYPES[kind], strict=True)
    )
    run(f"CREATE TABLE gauge (id integer PRIMARY KEY, {columns}, next_id integer NOT NULL)")
    is_old = kind == "old"
    id = ID.hex.upper() if is_old else str(ID)
    lasts, host = (90, 167_772_161) if is_old else ("01:30:00", "10.0.0.1")
    if source.vendor == "mysql" and not is_old:
        host = "2001:db8::1"
    add = f"INSERT INTO gauge VALUES ({', '.join(['%s'] * 9)})"
    run(add, [1, 0.1, id, "14:30:05", lasts, b"\x00\\\t", "plans/a b.pdf", host, 0])
    run(add, [2, *[None] * 7, 0])
    run(add, [3, -2.5, id.lower(), "00:00:00", lasts, b"", "", host, 1])
    return kind


def loaded(of, source, *, in_sql=True):
    found = source.check([of])["gauges"]
    after = None
    # Row by row: the third points to the first.
    while not (prepared := prepare(of, source, found, after=after, size=1, in_sql=in_sql)).finished:
        write(prepared, batch_name="x")
        after = prepared.last
    assert not QuarantinedRow.objects.exists(), QuarantinedRow.objects.values("reasons", "data")
    return found


def rows():
    keys = dict(LegacyIdMapping.objects.values_list("uuid_id", "legacy_id"))
    columns = (*NAMES, "photo", "next_id")
    return {
        keys[id]: dict(zip(columns, [*values, keys.get(next_)], strict=True))
        for id, *values, next_ in Gauge.objects.values_list("id", *columns)
    }


@pytest.mark.parametrize("in_sql", [True, False])
def test_every_type_comes_over_and_is_alike(source, kind, in_sql) -> None:
    of = entity(kind)
    table = loaded(of, source, in_sql=in_sql)
    host = "2001:db8::1" if kind == "mysql" else "10.0.0.1"
    found = rows()
    assert found[1] == {
        "level": 0.1,
        "token": ID,
        "opens_at": dt.time(14, 30, 5),
        "lasts": dt.timedelta(minutes=90),
        "seal": b"\x00\\\t",
        "plan": "plans/a b.pdf",
        "host": host,
        "photo": "",
        "next_id": None,
    }
    assert found[2] == {**dict.fromkeys((*NAMES, "next_id")), "plan": "", "photo": ""}
    assert (found[3]["opens_at"], found[3]["seal"], found[3]["plan"]) == (dt.time(0), b"", "")
    assert found[3]["next_id"] == 1
    assert differing(Differential(of, source)) == []
    for key in found:
        explained = explain(of, source, table, key)
        assert (explained.differing, explained.problems) == ((), ())
        assert explained.last_synced == explained.current
    assert wrong(walked(RelationshipIntegrity, SimpleNamespace(source=source, entity=of))) == {}


def test_every_type_goes_back_and_is_alike(source, run, kind) -> None:
    of = entity(kind)
    found = loaded(of, source)
    ids = dict(LegacyIdMapping.objects.values_list("legacy_id", "uuid_id"))
    changed = {
        "level": 2.25,
        "token": OTHER,
        "opens_at": dt.time(9, 5),
        "lasts": dt.timedelta(hours=22),
        "seal": b"\xff\x00",
        "plan": "plans/ü.pdf",
        "host": "192.168.0.1" if kind == "old" else "2001:db8::2",
    }
    Gauge.objects.filter(pk=ids[2]).update(**changed, next=ids[3])
    Gauge.objects.filter(pk=ids[3]).update(**dict.fromkeys(changed) | {"plan": "", "next": None})
    answers = give_back(of, source, found, [ids[2], ids[3]])
    assert [each.problem for each in answers] == ["", ""]
    assert all(each.is_written for each in answers)
    Ledger(source, run).settle(of, answers)
    assert run("SELECT id, next_id FROM gauge ORDER BY id") in (
        [(1, 0), (2, 3), (3, 0)],
        ((1, 0), (2, 3), (3, 0)),
    )
    for key in (1, 2, 3):
        explained = explain(of, source, found, key)
        assert (explained.differing, explained.problems) == ((), ())
    assert explain(of, source, found, 2).legacy == {**changed, "next": ids[3]}
    assert differing(Differential(of, source)) == []
    again = give_back(of, source, found, [ids[2], ids[3]])
    assert [each.is_written for each in again] == [False, False]


# By engine, a time of day and a length of time that Python or a target has no room for, each with
# what becomes of it: the length, or None for a row that is refused.
ODD = {
    "postgresql": [("24:00", "01:00:00", None), ("01:00", "1 month 2 days", None)],
    "mysql": [("01:00:00", "76:00:00", 76 * 3600), ("01:00:00", "-00:00:01", -1)],
    "sqlite": [("25:00", "1:00:00", None), ("01:00", "76:00:00", 76 * 3600)],
}


@pytest.mark.parametrize("in_sql", [True, False])
def test_odd_spans_come_over_or_are_refused_by_row(source, run, table, in_sql) -> None:
    types = dict(zip(NAMES, TYPES[source.vendor], strict=True))
    run(
        f"CREATE TABLE gauge (id integer PRIMARY KEY, opens_at {types['opens_at']}, "
        f"lasts {types['lasts']})"
    )
    columns = {"opens_at": Column(), "lasts": Column()}
    of = Entity(name="gauges", source="gauge", target=Gauge, script="x", columns=columns)
    expected = {}
    for key, (opens_at, lasts, seconds) in enumerate(
        [*ODD[source.vendor], ("02:00", "2:00:00", 7200)]
    ):
        run("INSERT INTO gauge VALUES (%s, %s, %s)", [key, opens_at, lasts])
        if seconds is not None:
            expected[key] = dt.timedelta(seconds=seconds)
    found = source.check([of])["gauges"]
    write(prepare(of, source, found, size=10, in_sql=in_sql), batch_name="x")
    keys = dict(LegacyIdMapping.objects.values_list("uuid_id", "legacy_id"))
    assert {keys[id]: lasts for id, lasts in Gauge.objects.values_list("id", "lasts")} == expected
    refused = QuarantinedRow.objects.values_list("legacy_id", flat=True)
    assert {*refused, *expected} == set(range(len(ODD[source.vendor]) + 1))
