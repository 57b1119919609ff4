"""Tables whose rows point to rows of the same table, from the declaration to both ways."""

from __future__ import annotations

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationsync.entities import ForeignKey, Registry
from migrationsync.entities.checks import problems
from migrationsync.kind import SYNC
from migrationsync.loading import writing
from migrationsync.models import (
    AppliedChange,
    DifferentialRecord,
    LegacyIdMapping,
    MigrationValidationReport,
)
from migrationsync.services.decisions import undo
from migrationsync.works import load
from operations import control, runner
from tests.migrationsync.resolving.records import one_engine
from tests.migrationsync.syncing import begin, sync, sync_to_end
from tests.migrationsync.trees import Category, Forest, categories, declared

# Two trees. In the order of the keys, most children come before their parents.
PARENTS = {1: 5, 2: 1, 3: 6, 4: 6, 5: 7, 6: 7, 7: None, 8: 9, 9: None}


@pytest.fixture
def forest(db, source, run):
    made = Forest(source, run)
    with declared(categories()):
        yield made


@pytest.fixture
def plain(forest):
    """A source that looks after nothing, as most do."""
    forest.create()
    return forest


@pytest.fixture
def strict(forest):
    """A source with a foreign key of its own."""
    forest.create(looked_after=True)
    forest.grow({key: PARENTS[key] for key in (9, 8, 7, 6, 5, 4, 3, 1, 2)})
    return forest


def counts(run) -> dict[str, int]:
    """Without what came to nothing: a row that was refused first, and came good."""
    return {name: number for name, number in run.counts.items() if number}


# --- declaring --------------------------------------------------------------------


def test_entity_that_points_to_itself_is_declared_well() -> None:
    tree = categories()
    assert list(problems(Registry([tree]))) == []
    assert (tree.depends_on, list(tree.own_keys)) == ((), ["parent"])
    assert Registry([tree]).in_order() == (tree,)


def test_circle_over_two_entities_is_still_refused() -> None:
    columns = {**categories().columns, "parent": ForeignKey("others", "parent_id")}
    one = categories(columns=columns)
    other = categories(name="others", columns=categories().columns)
    assert "migrationsync.E003" in {each.id for each in problems(Registry([one, other]))}


# --- loading ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 2, 3])
def test_tree_is_loaded_whole_however_its_batches_are_cut(plain, size) -> None:
    plain.grow(PARENTS)
    job = plain.job(max_records_per_batch=size)

    run = sync(job, "load")

    assert (run.outcome, counts(run)) == ("completed", {"inserted": 9})
    assert plain.brought_over() == PARENTS
    assert plain.refused() == {}
    assert counts(sync(job, "load")) == {"unchanged": 9}


@one_engine
@pytest.mark.parametrize("size", [2, 7, 1000])
def test_chain_of_fifty_levels_in_the_wrong_order_is_loaded(plain, size) -> None:
    chain = {key: key + 1 if key < 50 else None for key in range(1, 51)}
    plain.grow(chain)

    run = sync(plain.job(max_records_per_batch=size), "load")

    assert (run.outcome, counts(run)) == ("completed", {"inserted": 50})
    assert plain.brought_over() == chain


@one_engine
def test_parents_on_both_sides_of_their_children_take_several_passes(plain) -> None:
    """Row 3 waits for 1, which waits for 5, and so on."""
    zigzag = {1: 9, 9: 2, 2: 8, 8: 3, 3: 7, 7: 4, 4: None}
    plain.grow(zigzag)

    run = sync(plain.job(max_records_per_batch=1), "load")

    assert counts(run) == {"inserted": 7}
    assert plain.brought_over() == zigzag


@pytest.mark.parametrize("size", [1000, 1])
def test_row_may_be_its_own_parent(plain, size) -> None:
    own = {1: 2, 2: 2, 3: 3}
    plain.grow(own)

    run = sync(plain.job(max_records_per_batch=size), "load")

    assert counts(run) == {"inserted": 3}
    assert plain.brought_over() == own


@one_engine
def test_rows_that_go_in_a_ring_are_loaded_in_one_batch(plain) -> None:
    plain.grow({1: 2, 2: 1})
    assert counts(sync(plain.job(), "load")) == {"inserted": 2}
    assert plain.brought_over() == {1: 2, 2: 1}


@pytest.mark.parametrize("size", [1000, 2])
def test_bad_parent_keeps_its_subtree_until_it_is_mended(plain, size) -> None:
    plain.grow(PARENTS)
    plain.set(6, name=None)
    job = plain.job(max_records_per_batch=size)

    run = sync(job, "load")

    assert counts(run) == {"inserted": 6, "quarantined": 3}
    assert "target requires it" in plain.refused()[6]
    assert sorted(plain.refused()) == [3, 4, 6]
    assert plain.refused()[3] == plain.refused()[4]
    assert "points to a row of categories, but there is none" in plain.refused()[3]

    plain.set(6, name="Category 6")
    assert counts(sync(job, "load")) == {"inserted": 3, "unchanged": 6}
    assert plain.brought_over() == PARENTS
    assert plain.refused() == {}


@one_engine
def test_parent_that_isnt_there_keeps_its_whole_subtree(plain) -> None:
    plain.grow({1: 99, 2: 1, 3: 2, 4: None})
    run = sync(plain.job(), "load")
    assert counts(run) == {"inserted": 1, "quarantined": 3}
    assert plain.brought_over() == {4: None}


@one_engine
def test_parent_refused_for_its_unique_value_takes_its_children_along(plain) -> None:
    Category.objects.create(name="Ours", code="taken")
    plain.grow(PARENTS)
    plain.set(6, code="taken")
    run = sync(plain.job(), "load")
    assert counts(run) == {"inserted": 6, "quarantined": 3}
    assert "must be unique" in plain.refused()[6]
    assert "there is none" in plain.refused()[3]


@one_engine
def test_row_that_only_the_database_refuses_costs_its_subtree_only(plain) -> None:
    """Found by halving, which parts the others from their parents."""
    plain.grow(PARENTS)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE shelf_category ADD CONSTRAINT no_five CHECK (code <> 'C5')")

    run = sync(plain.job(), "load")

    assert counts(run) == {"inserted": 6, "quarantined": 3}
    assert sorted(plain.refused()) == [1, 2, 5]
    assert "no_five" in plain.refused()[5]
    assert plain.brought_over() == {k: v for k, v in PARENTS.items() if k not in (1, 2, 5)}


@one_engine
def test_parent_that_went_from_the_target_comes_back_with_its_children(plain) -> None:
    plain.grow(PARENTS)
    job = plain.job(conflict_resolution="source_wins")
    sync(job, "load")
    Category.objects.all().delete()
    assert counts(sync(job, "load")) == {"inserted": 9}
    assert plain.brought_over() == PARENTS


@one_engine
def test_new_child_of_a_parent_that_stays_deleted_is_refused(plain) -> None:
    plain.grow({1: None})
    job = plain.job(conflict_resolution="target_wins")
    sync(job, "load")
    Category.objects.all().delete()
    plain.grow({2: 1, 3: 2, 4: None})

    run = sync(job, "load")

    assert counts(run) == {"inserted": 1, "kept": 1, "quarantined": 2}
    assert sorted(plain.refused()) == [2, 3]


def test_unique_values_swapped_over_two_batches_come_good(plain) -> None:
    plain.grow(dict.fromkeys(range(1, 7)))
    job = plain.job(max_records_per_batch=2)
    sync(job, "load")
    plain.run(
        "UPDATE category SET code = CASE id WHEN 1 THEN 'C6' ELSE 'C1' END WHERE id IN (1, 6)"
    )

    run = sync(job, "load")

    assert counts(run) == {"unchanged": 4, "updated": 2}
    assert (plain.target(1).code, plain.target(6).code) == ("C6", "C1")
    assert plain.refused() == {}


# --- what is tried again, and what is judged ----------------------------------------


@one_engine
def test_load_killed_between_any_two_steps_goes_on(plain) -> None:
    plain.grow(PARENTS)
    job = plain.job(max_records_per_batch=2)
    run = begin(job, "load")

    outcomes = sync_to_end(job, budget_seconds=0)

    assert outcomes[-1] == "completed"
    run.refresh_from_db()
    assert counts(run) == {"inserted": 9}
    assert plain.brought_over() == PARENTS


@one_engine
def test_step_that_died_while_rows_are_tried_again_is_done_once_more(plain, monkeypatch) -> None:
    plain.grow(PARENTS)
    job = plain.job(max_records_per_batch=2)
    run = begin(job, "load")
    checkpoint = run.checkpoints.get()
    while "again" not in (checkpoint.cursor or {}):
        runner.run("sync", checkpoint.pk, budget_seconds=0)
        checkpoint.refresh_from_db()
    with monkeypatch.context() as patched:
        patched.setattr(load, "write", _dies_behind(load.write))
        runner.run("sync", checkpoint.pk, budget_seconds=0)
    job.refresh_from_db()
    control.retry(SYNC, job)

    sync_to_end(job)

    run.refresh_from_db()
    assert (run.outcome, counts(run)) == ("completed", {"inserted": 9})
    assert plain.brought_over() == PARENTS


def _dies_behind(write):
    def dying(*args, **options):
        write(*args, **options)
        raise RuntimeError("it died")

    return dying


@one_engine
def test_limit_is_judged_once_parents_had_their_chance(plain, monkeypatch) -> None:
    monkeypatch.setattr(load, "JUDGED_FROM", 2)
    plain.grow(PARENTS)

    run = sync(plain.job(max_records_per_batch=2, max_failed_percent=0), "load")

    assert (run.outcome, counts(run)) == ("completed", {"inserted": 9})


@one_engine
def test_too_many_refused_fail_it_and_a_retry_tries_them(plain) -> None:
    plain.grow(PARENTS)
    plain.set(6, name=None)
    job = plain.job(max_records_per_batch=2, max_failed_percent=10)
    run = sync(job, "load")
    assert (run.outcome, job.error_code) == ("failed", "too_many_refused")
    assert counts(run) == {"inserted": 6, "quarantined": 3}
    assert "3 of 9 rows of categories" in job.error_message

    plain.set(6, name="Category 6")
    control.retry(SYNC, job)
    sync_to_end(job)

    run.refresh_from_db()
    assert (run.outcome, counts(run)) == ("completed", {"inserted": 9})
    assert plain.brought_over() == PARENTS


@one_engine
def test_row_refused_for_its_own_data_isnt_tried_again(plain, monkeypatch) -> None:
    plain.grow(PARENTS)
    plain.set(9, name=None)
    tried: list[int] = []
    original = load.prepare

    def noting(*args, keys=None, **options):
        tried.extend(keys or ())
        return original(*args, keys=keys, **options)

    monkeypatch.setattr(load, "prepare", noting)
    run = sync(plain.job(max_records_per_batch=2), "load")
    assert counts(run) == {"inserted": 7, "quarantined": 2}
    assert 9 not in tried
    # Two passes brought something over, and the third nothing: there is no fourth.
    assert tried.count(8) == 3


def test_problems_that_others_may_mend_are_those_that_are_told(forest) -> None:
    forest.create()
    forest.grow({1: 99, 2: None})
    Category.objects.create(name="Ours", code="C2")
    sync(forest.job(), "load")
    assert set(forest.refused().values()) <= writing.mended_by_others(categories())
    assert len(forest.refused()) == 2


@st.composite
def _forests(draw):
    """Any forest over any keys, self-parents too, and any batch size."""
    keys = draw(st.lists(st.integers(1, 10_000), unique=True, min_size=1, max_size=25))
    parents = {}
    for number, key in enumerate(keys):
        parents[key] = draw(st.sampled_from([None, key, *keys[:number]]))
    return parents, draw(st.integers(1, 30))


@one_engine
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=_forests())
def test_any_forest_is_loaded_completely(plain, made) -> None:
    parents, size = made
    plain.run("DELETE FROM category")
    Category.objects.all().delete()
    LegacyIdMapping.objects.all().delete()
    plain.grow(parents)

    run = sync(plain.job(max_records_per_batch=size), "load")

    assert (run.outcome, counts(run)) == ("completed", {"inserted": len(parents)})
    assert plain.brought_over() == parents


# --- one way ------------------------------------------------------------------------


def test_sync_brings_over_reparents_and_deletes_a_subtree(strict) -> None:
    job = strict.job()
    assert sync(job).counts["applied"] == 9
    assert strict.brought_over() == PARENTS

    strict.grow({20: 4, 21: 20})
    strict.set(5, parent_id=20)
    run = sync(job)
    assert (run.outcome, run.counts["applied"]) == ("completed", 3)
    assert strict.brought_over() == {**PARENTS, 20: 4, 21: 20, 5: 20}

    strict.cut(2, 1, 5, 21)
    run = sync(job)
    assert (run.outcome, run.counts["delete_target"]) == ("completed", 4)
    assert "refused" not in run.counts
    assert strict.brought_over() == {3: 6, 4: 6, 6: 7, 7: None, 8: 9, 9: None, 20: 4}


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_subtree_deleted_in_the_source_goes_in_one_run(strict, size) -> None:
    job = strict.job(max_records_per_batch=size)
    sync(job, "load")
    strict.cut(2, 1, 5, 3, 4, 6, 7)

    run = sync(job)

    assert (run.outcome, run.counts["delete_target"]) == ("completed", 7)
    assert "refused" not in run.counts
    assert strict.brought_over() == {8: 9, 9: None}
    assert not DifferentialRecord.objects.exclude(state="resolved").exists()


@one_engine
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_parent_of_a_row_that_stays_isnt_deleted(plain, size) -> None:
    """Row 1 was changed in the target: whether it goes is for a person to say."""
    plain.grow(PARENTS)
    job = plain.job(max_records_per_batch=size, conflict_resolution="manual")
    sync(job, "load")
    Category.objects.filter(code="C1").update(name="Ours")
    plain.cut(1, 2, 3, 4, 5, 6, 7)

    run = sync(job)

    assert plain.brought_over() == {1: 5, 5: 7, 7: None, 8: 9, 9: None}
    assert (run.counts["delete_target"], run.counts["refused"]) == (4, 2)
    kept = DifferentialRecord.objects.filter(state="failed")
    assert sorted(record.legacy_id for record in kept) == [5, 7]
    assert all("still points to it" in record.outcome for record in kept)


@one_engine
def test_row_that_a_trigger_keeps_keeps_its_parents_only(plain) -> None:
    plain.grow(PARENTS)
    job = plain.job()
    sync(job, "load")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF OLD.code = 'C1' THEN RAISE 'it is kept'; END IF; RETURN OLD; END $$; "
            "CREATE TRIGGER kept BEFORE DELETE ON shelf_category "
            "FOR EACH ROW EXECUTE FUNCTION kept()"
        )
    plain.cut(*PARENTS)

    run = sync(job)

    assert plain.brought_over() == {1: 5, 5: 7, 7: None}
    assert (run.counts["delete_target"], run.counts["refused"]) == (6, 3)


# --- both ways ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 1000])
def test_subtree_deleted_in_the_target_goes_from_the_source(strict, size) -> None:
    job = strict.job(sync_direction="bidirectional", max_records_per_batch=size)
    sync(job, "load")
    # At once: Django follows no model of an app that isn't installed.
    Category.objects.filter(code__in=("C1", "C2", "C5")).delete()

    run = sync(job)

    assert (run.outcome, run.counts["delete_source"]) == ("completed", 3)
    assert "refused" not in run.counts
    assert strict.in_source() == strict.in_target()
    assert len(strict.in_source()) == 6


def test_row_moved_in_the_target_is_moved_in_the_source(strict) -> None:
    job = strict.job(sync_direction="bidirectional")
    sync(job, "load")
    Category.objects.filter(code="C5").update(parent=strict.target(9))

    run = sync(job)

    assert (run.outcome, run.counts["return"]) == ("completed", 1)

    assert strict.in_source() == {**strict.in_target(), "Category 5": "Category 9"}
    assert sync(job, "compare").counts.get("differences", 0) == 0


def test_subtree_added_in_the_target_is_added_to_the_source(strict) -> None:
    """The children's keys are smaller than their parents'."""
    job = strict.job(sync_direction="bidirectional")
    sync(job, "load")
    first, second, third = Category(), Category(), Category()
    for row, name, parent in (
        (third, "Top", strict.target(8)),
        (second, "Middle", third),
        (first, "Leaf", second),
    ):
        row.name, row.code, row.parent = name, name, parent
        row.save(force_insert=True)
    assert first.pk < second.pk < third.pk

    run = sync(job)

    assert (run.outcome, run.counts["return_new"]) == ("completed", 3)
    assert strict.in_source() == strict.in_target()
    assert strict.in_source()["Leaf"] == "Middle"
    assert not sync(job).counts.get("applied")


def test_root_added_in_the_target_may_be_its_own_parent(strict) -> None:
    job = strict.job(sync_direction="bidirectional")
    sync(job, "load")
    root = Category(name="Own", code="own")
    root.parent_id = root.pk
    root.save(force_insert=True)

    run = sync(job)

    assert (run.outcome, run.counts["return_new"]) == ("completed", 1)
    assert strict.in_source()["Own"] == "Own"
    assert not sync(job).counts.get("applied")


# --- what else looks at rows ------------------------------------------------------------


@one_engine
def test_loaded_tree_passes_every_validation(strict) -> None:
    job = strict.job(max_records_per_batch=2)
    sync(job, "load")
    sync(job, "validate")
    reports = MigrationValidationReport.objects.exclude(validation_type="performance_check")
    assert reports.count() == 3
    assert all(report.validation_passed for report in reports)


@one_engine
def test_moved_row_is_put_back_by_undo(strict) -> None:
    job = strict.job()
    sync(job, "load")
    strict.set(5, parent_id=9)
    sync(job)
    assert strict.target(5).parent == strict.target(9)

    undo(AppliedChange.objects.get(), by=None)

    assert strict.target(5).parent == strict.target(7)
