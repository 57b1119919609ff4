from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationsync.dispatch.models import Office
from migrationsync.models import LegacyIdMapping, QuarantinedRow
from migrationsync.validating import Completeness
from migrationsync.validating.completeness import RIGHT, WRONG
from tests.migrationsync.comparing.offices import NOON, Offices
from tests.migrationsync.validating.walking import walked, wrong


def extra_office():
    return Office.objects.create(name="Jena", created_at=NOON, updated_at=NOON)


def mapping_of(*keys):
    return LegacyIdMapping.objects.filter(legacy_id__in=keys)


def test_sides_that_are_alike_are_complete(offices) -> None:
    offices.add_both(*range(1, 8))
    tally = walked(Completeness, offices, size=3)
    assert (tally.records, tally.wrong) == (7, {})
    assert tally.figures["source_alive"] == tally.figures["in_target"] == 7


def test_nothing_on_either_side_is_complete(offices) -> None:
    tally = walked(Completeness, offices)
    assert (tally.records, tally.wrong) == (0, {})


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_each_state_is_told_apart_in_segments_of_any_size(offices, size) -> None:
    offices.add_both(*range(1, 11))
    offices.remove(2, 6)
    offices.change(3, column="deleted", to="2024-06-01 00:00:00")
    offices.target(4, 6).delete()
    offices.add(11, 12, 13)
    offices.change(11, column="deleted", to="2024-06-01 00:00:00")
    offices.quarantine(12)
    extra = extra_office()
    tally = walked(Completeness, offices, size=size)
    assert wrong(tally) == {
        WRONG["surplus"]: [2, 3],
        WRONG["lost"]: [4],
        WRONG["left_over"]: [6],
        WRONG["quarantined"]: [12],
        WRONG["missing"]: [13],
        WRONG["extra"]: [str(extra.pk)],
    }
    assert tally.figures == {
        "source_alive": 10 - 3 + 2,
        "source_deleted": 2,
        "mapped": 10,
        "in_target": 10 - 2 + 1,
        "complete": 6,
        "missing": 1,
        "quarantined": 1,
        "lost": 1,
        "surplus": 2,
        "left_over": 1,
        "extra": 1,
        "deleted": 1,
        "kept_in_source": 0,
        "kept_in_target": 0,
        "ended": 0,
    }


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
def test_rows_that_one_side_alone_has_do_not_shift_the_other(offices, size) -> None:
    offices.add_both(*range(4, 10))
    offices.remove(7, 8, 9)
    offices.add(1, 2, 3)
    assert wrong(walked(Completeness, offices, size=size)) == {
        WRONG["missing"]: [1, 2, 3],
        WRONG["surplus"]: [7, 8, 9],
    }


def test_as_many_missing_as_extra_do_not_cancel_out(offices) -> None:
    offices.add_both(*range(1, 61))
    mapped = dict(mapping_of(*range(1, 31)).values_list("legacy_id", "uuid_id"))
    mapping_of(*mapped).delete()
    tally = walked(Completeness, offices, size=7)
    assert tally.figures["source_alive"] == tally.figures["in_target"] == 60
    assert {each.what: each.count for each in tally.wrong.values()} == {
        WRONG["missing"]: 30,
        WRONG["extra"]: 30,
    }
    assert wrong(tally)[WRONG["missing"]] == list(range(1, 21))
    assert wrong(tally)[WRONG["extra"]] == [str(uuid) for uuid in sorted(mapped.values())[:20]]


def test_row_that_a_person_accepted_as_gone_is_no_discrepancy(offices) -> None:
    offices.add_both(1, 2, 3)
    offices.remove(1, 3)
    offices.target(2, 3).delete()
    mapping_of(1, 3).update(checksum=LegacyIdMapping.GONE)
    mapping_of(2, 3).update(target_checksum=LegacyIdMapping.GONE)
    tally = walked(Completeness, offices)
    assert tally.wrong == {}
    assert [tally.figures[each] for each in ("kept_in_target", "kept_in_source", "ended")] == [
        1,
        1,
        1,
    ]


def test_quarantined_row_that_came_good_counts_as_missing_while_it_is(offices) -> None:
    offices.add(1)
    offices.quarantine(1)
    QuarantinedRow.objects.update(resolved_at=NOON)
    assert wrong(walked(Completeness, offices)) == {WRONG["missing"]: [1]}


def test_other_entities_are_left_out(offices) -> None:
    offices.add_both(1)
    offices.add(2)
    mapping_of(1).update(entity_type="profiles")
    tally = walked(Completeness, offices)
    assert {each.what: each.count for each in tally.wrong.values()} == {
        WRONG["missing"]: 2,
        WRONG["extra"]: 1,
    }


# Of each record: whether the source has it (and marks it), whether it was mapped, is in the
# target, is in quarantine.
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["alive", "deleted", "gone"]), st.booleans(), st.booleans(), st.booleans()
    ),
    max_size=12,
)


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records=RECORDS, extras=st.integers(0, 3), size=st.integers(1, 8))
def test_figures_add_up(records, extras, size, db, source, run) -> None:
    for model in (LegacyIdMapping, QuarantinedRow, Office):
        model.objects.all().delete()
    run("DROP TABLE IF EXISTS dispatch_office")
    offices = Offices(source, run)
    alive = deleted = mapped = in_target = 0
    for key, (state, is_mapped, is_in_target, is_quarantined) in enumerate(records, start=1):
        offices.add(key)
        if is_mapped:
            offices.migrate(key)
            mapped += 1
            in_target += is_in_target
            if not is_in_target:
                offices.target(key).delete()
        elif is_quarantined:
            offices.quarantine(key)
        if state == "gone":
            offices.remove(key)
        elif state == "deleted":
            offices.change(key, column="deleted", to="2024-06-01 00:00:00")
        alive += state == "alive"
        deleted += state == "deleted"
    for _ in range(extras):
        extra_office()
    figures = walked(Completeness, offices, size=size).figures
    assert figures["source_alive"] == alive
    assert figures["source_deleted"] == deleted
    assert figures["mapped"] == mapped
    assert figures["in_target"] == in_target + extras == Office.objects.count()
    assert alive == sum(figures[each] for each in ("complete", "missing", "quarantined", "lost"))
    assert (
        sum(figures[each] for each in (*WRONG, *RIGHT))
        == len([each for each in records if each[0] != "gone" or each[1]]) + extras
    )
