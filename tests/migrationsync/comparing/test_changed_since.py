from __future__ import annotations

import dataclasses
import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest

from migrationsync.columns import Family, SourceColumn
from migrationsync.comparing import ChangedSince, NoTimes
from migrationsync.comparing.changed_since import bound, zone
from tests.migrationsync.comparing.offices import ENTITY, found

# The offices' clock hangs in Berlin: they were all changed at 12:00 there.
TEN_UTC = dt.datetime(2024, 5, 2, 10, tzinfo=dt.UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def touch(offices, *keys, at="2024-06-01 08:00:00") -> None:
    offices.change(*keys, column="modified", to=at)


def test_rows_changed_since_are_told_apart(offices) -> None:
    offices.add_both(*range(1, 8))
    offices.change(1)
    touch(offices, 2, 3, 4, 5)
    offices.target(3).update(city="Celle")
    offices.target(4).delete()
    offices.change(5, column="deleted", to="2024-06-01 08:00:00")
    offices.add(21, 22)
    offices.quarantine(22)
    touch(offices, 21, 22)
    offices.add(23)
    offices.change(23, column="deleted", to="2024-06-01 08:00:00")
    # Changed without its time, gone, and changed in the target only: none of them is seen.
    offices.remove(6)
    offices.target(7).update(city="Celle")
    since = dt.datetime(2024, 6, 1, 6, tzinfo=dt.UTC)
    comparison = ChangedSince(ENTITY, offices.source, since)
    assert found(comparison) == [
        ("source_changed", 2),
        ("both_changed", 3),
        ("deleted_in_target", 4),
        ("deleted_in_source", 5),
        ("missing", 21),
        ("quarantined", 22),
    ]
    assert comparison.criteria == {
        "compared_by": "timestamp",
        "column": "modified",
        "since": "2024-06-01T06:00:00+00:00",
        "sees_deleted": False,
    }


def test_the_moment_itself_is_within_and_what_was_synced_is_no_difference(offices) -> None:
    offices.add_both(1, 2)
    offices.change(1)
    assert found(ChangedSince(ENTITY, offices.source, TEN_UTC)) == [("source_changed", 1)]
    just_then = TEN_UTC + dt.timedelta(microseconds=900_000)
    assert found(ChangedSince(ENTITY, offices.source, just_then)) == [("source_changed", 1)]
    later = TEN_UTC + dt.timedelta(seconds=1)
    assert found(ChangedSince(ENTITY, offices.source, later)) == []


def test_goes_on_from_every_cursor_among_rows_of_one_moment(offices) -> None:
    offices.add(*range(1, 10))
    touch(offices, 2, 7)
    order = [("missing", key) for key in (1, 3, 4, 5, 6, 8, 9, 2, 7)]
    segments = list(ChangedSince(ENTITY, offices.source, TEN_UTC).segments(size=2))
    assert [each.examined for each in segments] == [2, 2, 2, 2, 1]
    for number, segment in enumerate(segments[:-1], 1):
        cursor = json.loads(json.dumps(segment.cursor))
        behind = found(ChangedSince(ENTITY, offices.source, TEN_UTC), cursor)
        assert behind == order[number * 2 :]


def test_column_of_times_may_have_a_percent_sign_in_its_name(offices) -> None:
    """Half of such a statement is formatted with parameters."""
    quote = "`" if offices.source.vendor == "mysql" else '"'
    offices.add(1, 2, 3)
    offices.legacy(f"ALTER TABLE dispatch_office RENAME COLUMN modified TO {quote}50%s{quote}")
    columns = {
        name: dataclasses.replace(each, source="50%s") if each.source == "modified" else each
        for name, each in ENTITY.columns.items()
    }
    entity = dataclasses.replace(ENTITY, changed_at="50%s", columns=columns)
    segments = ChangedSince(entity, offices.source, TEN_UTC).segments(size=2)
    assert [each.legacy_id for s in segments for each in s.differences] == [1, 2, 3]


def test_index_of_the_column_is_used(offices) -> None:
    offices.legacy("CREATE INDEX office_modified ON dispatch_office (modified)")
    offices.add(*range(1, 4))
    if offices.source.vendor == "postgresql":
        offices.legacy(
            "INSERT INTO dispatch_office (id, name, created, modified) SELECT n, 'x', "
            "'2020-01-01', '2020-01-01' FROM generate_series(10, 5000) n"
        )
        offices.legacy("ANALYZE dispatch_office")
    plan = offices.legacy(
        ("EXPLAIN QUERY PLAN " if offices.source.vendor == "sqlite" else "EXPLAIN ")
        + "SELECT id FROM dispatch_office WHERE modified >= '2024-05-02' "
        "ORDER BY modified, id LIMIT 10"
    )
    assert "office_modified" in str(plan)


def test_without_a_column_of_times_it_is_refused(offices) -> None:
    with pytest.raises(NoTimes, match="only a full comparison"):
        ChangedSince(dataclasses.replace(ENTITY, changed_at=""), offices.source, TEN_UTC)
    with pytest.raises(NoTimes, match="name"):
        ChangedSince(dataclasses.replace(ENTITY, changed_at="name"), offices.source, TEN_UTC)


LOCAL = SourceColumn("modified", Family.DATETIME, "timestamp")


@pytest.mark.parametrize(
    ("utc", "clock"),
    [
        ("2024-05-02T10:00:00.7", "2024-05-02 12:00:00"),
        ("2024-01-02T10:00:00", "2024-01-02 11:00:00"),
        # At one in UTC the clock goes from three back to two: what is changed after 02:30 the
        # first time may be written down as 02:00.
        ("2024-10-27T00:30:00", "2024-10-27 01:30:00"),
        ("2024-10-27T01:30:00", "2024-10-27 02:30:00"),
        # And forward from two to three.
        ("2024-03-31T00:59:59", "2024-03-31 01:59:59"),
        ("2024-03-31T01:00:00", "2024-03-31 03:00:00"),
    ],
)
def test_bound_is_what_the_clock_showed_at_the_earliest(utc, clock) -> None:
    since = dt.datetime.fromisoformat(utc).replace(tzinfo=dt.UTC)
    assert bound(since, LOCAL, BERLIN, "postgresql") == clock


def test_bound_of_a_moment_a_day_and_an_unknown_zone() -> None:
    moment = SourceColumn("modified", Family.INSTANT, "timestamptz")
    day = SourceColumn("modified", Family.DATE, "date")
    summer = dt.datetime(2024, 5, 2, 12, tzinfo=BERLIN)
    assert bound(summer, moment, None, "postgresql") == "2024-05-02 10:00:00+00"
    assert bound(summer, moment, None, "mysql") == "2024-05-02 10:00:00"
    assert bound(summer, day, BERLIN, "sqlite") == "2024-05-02"
    assert bound(summer, LOCAL, None, "sqlite") == "2024-05-01 22:00:00"


def test_zone_is_that_of_the_column_which_reads_the_time() -> None:
    assert zone(ENTITY) == BERLIN
    assert zone(dataclasses.replace(ENTITY, changed_at="deleted")) is None
