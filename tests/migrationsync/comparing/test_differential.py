from __future__ import annotations

import json
import threading
import uuid

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationsync.comparing import Differential, Kind, findings
from migrationsync.comparing.differential import cut, differing
from migrationsync.comparing.results import PAGE, Difference
from migrationsync.comparing.sides import Group, Keys, SourceSide, StoredSide
from migrationsync.dispatch.models import Office
from migrationsync.models import LegacyIdMapping, QuarantinedRow
from migrationsync.source import SchemaDrift, SourceUnreachable
from tests.migrationsync.comparing.offices import ENTITY, NOON, found


def compared(offices, **kwargs):
    return found(Differential(ENTITY, offices.source), **kwargs)


def extra_office():
    return Office.objects.create(name="Jena", created_at=NOON, updated_at=NOON)


def test_sides_that_are_alike_have_no_difference(offices) -> None:
    offices.add_both(*range(1, 30))
    assert compared(offices) == []


def test_rows_behind_the_statistics_are_not_each_compared_with_all(offices) -> None:
    offices.add_both(*range(1, 301))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE offices")
        cursor.execute("ANALYZE legacy_id_mappings")
    offices.add_both(*range(301, 601))
    plans = []

    def explained(execute, sql, params, many, context):
        if "NOT EXISTS" in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        assert compared(offices, size=300) == []
    assert len(plans) == 2
    assert not any("Nested Loop" in plan for plan in plans)


def test_empty_sides_have_no_difference(offices) -> None:
    segments = list(Differential(ENTITY, offices.source).segments())
    assert [each.differences for each in segments] == [[], []]


def test_each_kind_of_difference_is_told_apart(offices) -> None:
    offices.add_both(*range(1, 12))
    offices.change(2, 4, 8)
    offices.target(3, 4, 10).update(name="Hamburg")
    offices.remove(5, 9, 10)
    offices.change(11, column="deleted", to="2024-06-01 00:00:00")
    offices.target(6, 8, 9).delete()
    offices.add(21, 22, 23)
    offices.quarantine(22)
    offices.change(23, column="deleted", to="2024-06-01 00:00:00")
    extra = extra_office()
    differences = [
        each
        for segment in Differential(ENTITY, offices.source).segments()
        for each in segment.differences
    ]
    mapped = dict(LegacyIdMapping.objects.values_list("legacy_id", "uuid_id"))
    assert differences == [
        Difference(Kind.SOURCE_CHANGED, 2, mapped[2]),
        Difference(Kind.TARGET_CHANGED, 3, mapped[3]),
        Difference(Kind.BOTH_CHANGED, 4, mapped[4]),
        Difference(Kind.DELETED_IN_SOURCE, 5, mapped[5]),
        Difference(Kind.DELETED_IN_TARGET, 6, mapped[6]),
        Difference(Kind.DELETED_IN_TARGET, 8, mapped[8], is_contested=True),
        Difference(Kind.DELETED_IN_BOTH, 9, mapped[9]),
        Difference(Kind.DELETED_IN_SOURCE, 10, mapped[10], is_contested=True),
        Difference(Kind.DELETED_IN_SOURCE, 11, mapped[11]),
        Difference(Kind.MISSING, 21),
        Difference(Kind.QUARANTINED, 22),
        Difference(Kind.EXTRA, None, extra.pk),
    ]


def test_source_alone_is_told_apart_without_the_target(offices) -> None:
    offices.add_both(1, 2, 3)
    offices.change(1)
    offices.target(1, 2).update(name="Hamburg")
    offices.remove(3)
    offices.add(4)
    extra_office()
    comparison = Differential(ENTITY, offices.source, source_only=True)
    assert found(comparison, size=2) == [
        ("source_changed", 1),
        ("deleted_in_source", 3),
        ("missing", 4),
    ]
    assert comparison.criteria["sides"] == ["source"]


def test_accepted_deletion_is_no_difference_until_the_row_comes_back(offices) -> None:
    offices.add_both(1, 2, 3, 4)
    mappings = LegacyIdMapping.objects.filter
    mappings(legacy_id__in=[1, 2]).update(checksum=LegacyIdMapping.GONE)
    offices.remove(1, 2)
    offices.target(3, 4).delete()
    mappings(legacy_id__in=[3, 4]).update(target_checksum=LegacyIdMapping.GONE)
    assert compared(offices) == []
    offices.add(1)
    offices.target(2).update(name="Celle")
    uuid_ = mappings(legacy_id=3).get().uuid_id
    Office.objects.create(id=uuid_, name="Celle", created_at=NOON, updated_at=NOON)
    offices.change(4)
    assert compared(offices) == [
        ("source_changed", 1),
        ("deleted_in_source", 2),
        ("target_changed", 3),
        ("deleted_in_target", 4),
    ]
    offices.target(2).delete()
    assert compared(offices)[1] == ("deleted_in_both", 2)


def test_quarantined_row_that_came_over_later_counts_no_more(offices) -> None:
    offices.add(1)
    offices.quarantine(1)
    QuarantinedRow.objects.update(resolved_at=timezone.now())
    assert compared(offices) == [("missing", 1)]


def test_null_and_nothing_differ(offices) -> None:
    offices.add_both(1, 2)
    offices.change(1, column="city", to="")
    assert compared(offices) == [("source_changed", 1)]


def test_rows_that_exchanged_what_they_have_are_found(offices) -> None:
    offices.add(1, name="A")
    offices.add(2, name="B")
    offices.migrate(1, 2)
    offices.target(1).update(name="A")
    offices.change(1, to="B")
    offices.change(2, to="A")
    assert compared(offices) == [("both_changed", 1), ("source_changed", 2)]


def test_what_the_declaration_does_not_name_does_not_count(offices) -> None:
    offices.legacy("ALTER TABLE dispatch_office ADD COLUMN remark varchar(20)")
    offices.add_both(1)
    offices.change(1, column="remark", to="seen")
    assert compared(offices) == []


def test_every_record_may_differ(offices) -> None:
    keys = list(range(1, 201))
    offices.add_both(*keys)
    offices.legacy("UPDATE dispatch_office SET name = 'Celle'")
    assert compared(offices, size=70) == [("source_changed", key) for key in keys]


@pytest.mark.parametrize("keys", [[-5, 0, 1, 2_000_000_000], [7], list(range(1, 50, 7))])
def test_sparse_keys_are_cut_where_there_are_some(offices, keys) -> None:
    offices.add_both(*keys)
    offices.change(keys[-1])
    offices.add(keys[-1] + 1)
    differential = Differential(ENTITY, offices.source)
    segments = list(differential.segments(size=2))
    assert [(each.kind, each.legacy_id) for s in segments for each in s.differences] == [
        (Kind.SOURCE_CHANGED, keys[-1]),
        (Kind.MISSING, keys[-1] + 1),
    ]
    # One after the other of two keys a side, then one to see that there are no more.
    assert len(segments) <= 2 * (len(keys) // 2 + 2)


def test_keys_from_one_end_of_the_range_to_the_other_are_told_apart(offices) -> None:
    if offices.source.vendor != "sqlite":
        change = "MODIFY id" if offices.source.vendor == "mysql" else "ALTER id TYPE"
        offices.legacy(f"ALTER TABLE dispatch_office {change} bigint")
    far = 1_800_000_000_000_000_000
    keys = [-(2**63), 1, *(far + each for each in range(20)), 2**63 - 3]
    offices.add_both(*keys)
    new = [2, far + 100, far + 101, 4 * far, 2**63 - 2]
    offices.add(*new)
    assert compared(offices, size=50_000) == [("missing", key) for key in new]


def test_sides_without_a_key_in_common_are_passed_in_bounded_segments(offices) -> None:
    offices.add_both(*range(1, 11))
    offices.remove(*range(1, 11))
    offices.add(*range(101, 111))
    segments = list(Differential(ENTITY, offices.source).segments(size=4))
    assert max(len(each.differences) for each in segments) <= 2 * 4
    assert [(each.kind, each.legacy_id) for s in segments for each in s.differences] == [
        *((Kind.DELETED_IN_SOURCE, key) for key in range(1, 11)),
        *((Kind.MISSING, key) for key in range(101, 111)),
    ]


def test_goes_on_from_every_cursor(offices) -> None:
    offices.add_both(*range(1, 20))
    offices.change(3, 9, 15)
    offices.remove(10)
    offices.add(25)
    for _ in range(4):
        extra_office()
    differential = Differential(ENTITY, offices.source)
    segments = list(differential.segments(size=3))
    whole = [each for segment in segments for each in segment.differences]
    assert len(whole) == 9
    seen = []
    for segment in segments[:-1]:
        seen += segment.differences
        # As a checkpoint keeps it, read by a process that knows nothing else.
        cursor = json.loads(json.dumps(segment.cursor))
        behind = Differential(ENTITY, offices.source).segments(cursor, size=5)
        assert seen + [each for later in behind for each in later.differences] == whole


def test_source_that_is_not_as_declared_is_refused(offices) -> None:
    offices.legacy("ALTER TABLE dispatch_office RENAME COLUMN rent TO monthly")
    with pytest.raises(SchemaDrift, match="rent"):
        Differential(ENTITY, offices.source)


def test_other_entities_do_not_count(offices) -> None:
    offices.add_both(1)
    LegacyIdMapping.objects.update(entity_type="others")
    Office.objects.all().delete()
    assert compared(offices) == [("missing", 1)]


def test_findings_are_what_a_differential_stores(offices) -> None:
    office = uuid.uuid4()
    differences = [
        Difference(Kind.MISSING, 1),
        Difference(Kind.EXTRA, None, office),
        Difference(Kind.DELETED_IN_SOURCE, 2, office, is_contested=True),
        Difference(Kind.MISSING, 3),
        Difference(Kind.DELETED_IN_SOURCE, 4, office),
    ]
    criteria = {"compared_by": "checksum"}
    kept = list(findings(ENTITY, differences, criteria))
    assert [(each.comparison_type, each.legacy_ids, each.record_count) for each in kept] == [
        ("missing_records", [1, 3], 2),
        ("deleted_records", [str(office)], 1),
        ("deleted_records", [2, 4], 2),
    ]
    assert (kept[0].source_table, kept[0].target_table) == ("dispatch_office", "offices")
    assert kept[2].comparison_criteria == {
        "compared_by": "checksum",
        "kind": "deleted_in_source",
        "contested": [2],
    }


def test_findings_come_in_pages() -> None:
    differences = [Difference(Kind.MISSING, key) for key in range(PAGE + 1)]
    pages = list(findings(ENTITY, differences, {}))
    assert [each.record_count for each in pages] == [PAGE, 1]


def test_segment_ends_at_the_first_side_that_may_have_more() -> None:
    assert cut([Keys(1, 50, 10), Keys(5, 20, 10)], 10) == (Keys(1, 20, 10), False)
    assert cut([Keys(1, 50, 10), Keys(5, 90, 3)], 10) == (Keys(1, 50, 10), False)
    assert cut([Keys(1, 50, 9), Keys(5, 90, 3)], 10) == (Keys(1, 90, 9), True)


def test_groups_differ_by_their_rows_or_their_sums() -> None:
    source = {0: Group(2, 9, 1, 4), 1: Group(1, 5, 11, 11), 3: Group(1, 7, 31, 31)}
    stored = {0: Group(2, 9, 1, 4), 1: Group(2, 5, 10, 11), 2: Group(1, 1, 25, 25)}
    assert differing(source, stored) == [(10, 11), (25, 25), (31, 31)]
    assert differing({0: Group(1, 5, 1, 1)}, {0: Group(1, 6, 1, 1)}) == [(1, 1)]


EDITS = st.sampled_from(["source", "target", "remove", "mark", "lose", "none"])
EXPECTED = {
    # By (what became of the source, of the target).
    ("same", "same"): None,
    ("changed", "same"): "source_changed",
    ("same", "changed"): "target_changed",
    ("changed", "changed"): "both_changed",
    ("gone", "same"): "deleted_in_source",
    ("gone", "changed"): "deleted_in_source",
    ("same", "gone"): "deleted_in_target",
    ("changed", "gone"): "deleted_in_target",
    ("gone", "gone"): "deleted_in_both",
}


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    edits=st.dictionaries(
        st.integers(-(2**31), 2**31 - 1), st.lists(EDITS, max_size=3), max_size=25
    ),
    new=st.sets(st.integers(-(2**31), 2**31 - 1), max_size=5),
    size=st.integers(1, 12),
)
def test_random_edits_of_both_sides_are_found_exactly(offices, edits, new, size) -> None:
    offices.legacy("DELETE FROM dispatch_office")
    LegacyIdMapping.objects.all().delete()
    Office.objects.all().delete()
    offices.add_both(*edits)
    expected = dict.fromkeys(new - edits.keys(), "missing")
    offices.add(*expected)
    for key, made in edits.items():
        legacy, target = "same", "same"
        for edit in made:
            match edit:
                case "source":
                    offices.change(key)
                    legacy = "gone" if legacy == "gone" else "changed"
                case "target":
                    offices.target(key).update(city="Erfurt")
                    target = "gone" if target == "gone" else "changed"
                case "remove":
                    offices.remove(key)
                    legacy = "gone"
                case "mark":
                    offices.change(key, column="deleted", to="2024-06-01 00:00:00")
                    legacy = "gone"
                case "lose":
                    offices.target(key).delete()
                    target = "gone"
        if kind := EXPECTED[legacy, target]:
            expected[key] = kind
    assert compared(offices, size=size) == [(expected[key], key) for key in sorted(expected)]


def test_both_sides_are_asked_at_once(offices, monkeypatch) -> None:
    """Each waits until the other is asked, too."""
    offices.add_both(1)
    together = threading.Barrier(2, timeout=10)

    def meeting(ask):
        def asked(*args, **kwargs):
            together.wait()
            return ask(*args, **kwargs)

        return asked

    monkeypatch.setattr(SourceSide, "groups", meeting(SourceSide.groups))
    monkeypatch.setattr(StoredSide, "groups", meeting(StoredSide.groups))
    assert compared(offices) == []


@pytest.mark.parametrize("side", [SourceSide, StoredSide])
def test_error_of_one_side_ends_the_segment_and_leaves_nothing_running(
    offices, monkeypatch, side
) -> None:
    offices.add_both(1)

    def broken(*args, **kwargs):
        raise SourceUnreachable("It doesn't answer.")

    monkeypatch.setattr(side, "groups", broken)
    before = threading.active_count()
    with pytest.raises(SourceUnreachable):
        compared(offices)
    assert threading.active_count() == before
    monkeypatch.undo()
    assert compared(offices) == []


def test_text_that_isnt_utf8_is_compared_as_any_other(offices) -> None:
    if offices.source.vendor != "sqlite":
        pytest.skip("Only SQLite keeps whatever bytes it is given.")
    offices.add_both(1, 2, 3)
    offices.legacy("UPDATE dispatch_office SET name = cast(x'4dfc6e' AS text) WHERE id = 2")
    assert compared(offices) == [("source_changed", 2)]
