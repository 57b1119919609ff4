"""Deciding: one record in the request, or a selection in a run."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from migrationsync.differences import Kind
from migrationsync.dispatch.models import Office, Profile
from migrationsync.entities import entities
from migrationsync.exceptions import AlreadyRunning, CannotDecide, OverDeleteBudget, StaleRecord
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
)
from migrationsync.resolving.rules import Action
from migrationsync.services.decisions import decide, explanation, preview, resolve
from migrationsync.source import SourceUnreachable
from tests.migrationsync.legacies import connected
from tests.migrationsync.resolving.records import both_engines, one_engine
from tests.migrationsync.syncing import begin, sync, sync_to_end

# By (kind, is contested): what is in the source and the target after source_wins; after
# target_wins, one way; after target_wins, both ways. None: it may not be chosen.
CHOICES = {
    ("missing", False): ((["Bremen"], ["Bremen"]), None, None),
    ("quarantined", False): ((["Bremen"], ["Bremen"]), None, None),
    ("source_changed", False): (
        (["Celle"], ["Celle"]),
        (["Celle"], ["Bremen"]),
        (["Bremen"], ["Bremen"]),
    ),
    ("target_changed", False): (
        (["Bremen"], ["Bremen"]),
        (["Bremen"], ["Hamburg"]),
        (["Hamburg"], ["Hamburg"]),
    ),
    ("both_changed", False): (
        (["Celle"], ["Celle"]),
        (["Celle"], ["Hamburg"]),
        (["Hamburg"], ["Hamburg"]),
    ),
    ("deleted_in_source", False): (([], []), ([], ["Bremen"]), (["Bremen"], ["Bremen"])),
    ("deleted_in_source", True): (([], []), ([], ["Hamburg"]), (["Hamburg"], ["Hamburg"])),
    ("deleted_in_target", False): ((["Bremen"], ["Bremen"]), (["Bremen"], []), ([], [])),
    ("deleted_in_target", True): ((["Celle"], ["Celle"]), (["Celle"], []), ([], [])),
    ("deleted_in_both", False): (([], []), ([], []), ([], [])),
    ("extra", False): (([], []), ([], ["Jena"]), (["Jena"], ["Jena"])),
}


def compared(records, kind, *, is_contested=False, **fields):
    """The one record that a comparison found."""
    records.make(Kind(kind), 1, is_contested=is_contested)
    job = records.job(**fields)
    sync(job, "compare")
    return job, DifferentialRecord.objects.get()


def decided(record, strategy, by=None):
    _, token = explanation(record)
    return decide(record, strategy, token=token, by=by)


def sides(records):
    return list(records.in_source().values()), records.in_target()


@pytest.mark.parametrize(
    ("source", "direction"),
    [("sqlite", "source_to_target"), ("postgresql", "bidirectional")],
    indirect=["source"],
)
@pytest.mark.parametrize("strategy", ["source_wins", "target_wins", "skip"])
@pytest.mark.parametrize(("kind", "is_contested"), CHOICES)
def test_each_choice(records, django_user_model, kind, is_contested, strategy, direction) -> None:
    user = django_user_model.objects.create_user("ada")
    job, record = compared(records, kind, is_contested=is_contested, sync_direction=direction)
    before = sides(records)
    source_wins, one_way, both_ways = CHOICES[kind, is_contested]
    target_wins = both_ways if direction == "bidirectional" else one_way
    expected = {"source_wins": source_wins, "target_wins": target_wins, "skip": before}[strategy]
    if expected is None:
        with pytest.raises(CannotDecide, match=f"can't be resolved by {strategy}"):
            decided(record, strategy)
        assert sides(records) == before
        return
    after = decided(record, strategy, by=user)
    is_left = strategy == "skip" or (kind, strategy, direction) == (
        "extra",
        "target_wins",
        "source_to_target",
    )
    assert sides(records) == expected
    assert (after.state, after.decided_by) == ("skipped" if is_left else "resolved", user)
    assert after.strategy == strategy
    assert after.decided_at
    assert DataDifferential.objects.get().resolved
    assert AppliedChange.objects.count() == (0 if is_left else 1)
    if not is_left:
        assert AppliedChange.objects.get().applied_by == user
    # It is no difference any more, unless it was left as one.
    assert len(records.found(job)) == is_left


@both_engines
@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("strategy", ["source_wins", "target_wins"])
def test_stale_decision_is_refused_with_the_fresh_record(records, side, strategy) -> None:
    _, record = compared(records, "both_changed")
    _, token = explanation(record)
    if side == "source":
        records.dispatch.change(1, to="Emden")
    else:
        records.target(1).update(name="Emden")
    before = sides(records)
    with pytest.raises(StaleRecord) as refused:
        decide(record, strategy, token=token, by=None)
    fresh = refused.value.fresh
    assert "Emden" in ((fresh.legacy or {})["name"], (fresh.current or {})["name"])
    assert sides(records) == before
    record.refresh_from_db()
    assert record.state == "open"
    # With the fresh token it is decided.
    assert decide(record, strategy, token=refused.value.token, by=None).state == "resolved"


@one_engine
def test_edit_after_the_token_was_compared_is_not_overwritten(records, monkeypatch) -> None:
    _, record = compared(records, "both_changed")
    from migrationsync.resolving import gathering

    read = gathering.read_rows

    def edited_meanwhile(*args):
        records.target(1).update(name="Emden")
        return read(*args)

    monkeypatch.setattr(gathering, "read_rows", edited_meanwhile)
    with pytest.raises(StaleRecord):
        decided(record, "source_wins")
    assert records.in_target() == ["Emden"]
    record.refresh_from_db()
    assert record.state == "open"


@one_engine
def test_record_that_is_otherwise_by_now_is_not_resolved(records) -> None:
    _, record = compared(records, "target_changed")
    records.dispatch.change(1)
    after = decided(record, "source_wins")
    assert after.state == "failed"
    assert "changed in both" in after.outcome
    assert sides(records) == (["Celle"], ["Hamburg"])


@one_engine
def test_record_that_became_alike_by_itself_is_resolved(records) -> None:
    _, record = compared(records, "target_changed")
    records.target(1).update(name="Bremen")
    after = decided(record, "target_wins")
    assert (after.state, after.outcome) == ("resolved", "Both sides are alike already.")
    assert not AppliedChange.objects.exists()


@one_engine
def test_record_that_was_decided_is_not_decided_again(records, django_user_model) -> None:
    job, record = compared(records, "both_changed")
    decided(record, "source_wins", by=django_user_model.objects.create_user("ada"))
    for again in (
        lambda: decided(record, "target_wins"),
        lambda: resolve(DifferentialRecord.objects.all(), "target_wins", by=None),
    ):
        with pytest.raises(CannotDecide, match=r"^ada decided offices 1 on .* \(The source wins\)"):
            again()
    assert job.runs.count() == 1


@one_engine
def test_selection_with_some_that_are_decided_names_them_and_by_whom(
    records, django_user_model
) -> None:
    for key in range(1, 7):
        records.make(Kind.SOURCE_CHANGED, key)
    job = records.job()
    sync(job, "compare")
    ada = django_user_model.objects.create_user("ada")
    found = DifferentialRecord.objects.order_by("legacy_id")
    resolve(found.filter(legacy_id=1), "skip", by=None)
    sync_to_end(job)
    for record in found[1:5]:
        decided(record, "source_wins", by=ada)
    with pytest.raises(CannotDecide) as refused:
        resolve(found, "source_wins", by=None)
    said = str(refused.value)
    assert said.startswith("5 of these 6 records are decided already: leave them out (Run 2 of ")
    assert "ada decided offices 2 on " in said
    assert said.endswith("(The source wins); and 2 more).")


@one_engine
def test_record_of_an_earlier_comparison_is_not_decided(records) -> None:
    job, record = compared(records, "both_changed")
    sync(job, "compare")
    with pytest.raises(CannotDecide, match="later comparison"):
        decided(record, "source_wins")
    with pytest.raises(CannotDecide, match="later comparison"):
        resolve(DifferentialRecord.objects.filter(pk=record.pk), "source_wins", by=None)


@one_engine
def test_record_that_a_run_is_to_resolve_is_not_decided(records) -> None:
    _, record = compared(records, "both_changed")
    run = resolve(DifferentialRecord.objects.all(), "source_wins", by=None).run
    with pytest.raises(CannotDecide, match=str(run)):
        decided(record, "target_wins")


@one_engine
@pytest.mark.django_db(transaction=True)
def test_of_two_people_at_once_one_is_refused(records, monkeypatch) -> None:
    """The second comes while the first is at it."""
    from migrationsync.services import decisions

    _, record = compared(records, "both_changed")
    _, token = explanation(record)
    refused = []

    def second() -> None:
        try:
            decide(record, "target_wins", token=token, by=None)
        except CannotDecide as error:
            refused.append(str(error))
        finally:
            connections.close_all()

    look = decisions.looking.look

    def interrupted(*args):
        looked = look(*args)
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(30)
        return looked

    monkeypatch.setattr(decisions.looking, "look", interrupted)
    assert decide(record, "source_wins", token=token, by=None).state == "resolved"
    assert refused == ["Somebody else is deciding this record right now: look again."]
    assert records.in_target() == ["Celle"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert cursor.fetchone() == (0,)


@one_engine
def test_source_that_is_away_is_said_and_nothing_is_done(records, tmp_path) -> None:
    job, record = compared(records, "both_changed")
    _, token = explanation(record)
    job.source_alias = "gone"
    job.save()
    config = {**connections[records.source.alias].settings_dict}
    config["NAME"] = str(tmp_path / "nowhere" / "legacy.sqlite3")
    with connected("gone", config), pytest.raises(SourceUnreachable, match="doesn't answer"):
        decide(DifferentialRecord.objects.get(), "source_wins", token=token, by=None)
    record.refresh_from_db()
    assert record.state == "open"


@one_engine
def test_unknown_strategy_is_refused_with_those_there_are(records) -> None:
    _, record = compared(records, "both_changed")
    with pytest.raises(CannotDecide, match="source_wins, target_wins"):
        decide(record, "coin", token="", by=None)
    with pytest.raises(CannotDecide, match="can't be resolved by manual_review"):
        resolve(DifferentialRecord.objects.all(), "manual_review", by=None)


@one_engine
def test_row_that_something_points_to_is_refused_with_the_constraint(dispatch, records) -> None:
    dispatch.add_offices(1, 2)
    dispatch.add_profiles(5, office=1)
    job = records.job(entities_to_sync=["offices", "profiles"])
    sync(job)
    sync_profiles = Profile.objects.get()
    dispatch.remove(1, 2)
    sync(job, "compare", entities=["offices"])
    first, second = DifferentialRecord.objects.filter(
        differential__superseded_at=None, state="open"
    ).order_by("legacy_id")
    refused = decided(first, "source_wins")
    assert refused.state == "failed"
    assert "A row of profiles still points to it" in refused.outcome
    assert "fk" in refused.outcome
    assert decided(second, "source_wins").state == "resolved"
    assert Office.objects.get().profiles.get() == sync_profiles
    # Once that is gone, it may be decided again.
    sync_profiles.delete()
    assert decided(refused, "source_wins").state == "resolved"


# --- selections -----------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize("strategy", ["source_wins", "target_wins", "skip"])
def test_selection_is_resolved_by_a_run_and_checked_again(
    records, django_user_model, strategy
) -> None:
    user = django_user_model.objects.create_user("ada")
    for key in range(1, 6):
        records.make(Kind.BOTH_CHANGED, key)
    job = records.job(max_records_per_batch=2)
    sync(job, "compare")
    chosen = DifferentialRecord.objects.filter(legacy_id__lte=4)
    run, created = resolve(chosen, strategy, by=user)
    assert created
    assert (run.purpose, run.started_by) == ("resolve", user)
    sync_to_end(job)
    run.refresh_from_db()
    assert run.outcome == "completed"
    state = "skipped" if strategy == "skip" else "resolved"
    assert set(chosen.values_list("state", "decided_by")) == {(state, user.pk)}
    names = {"source_wins": "Celle", "target_wins": "Hamburg", "skip": "Hamburg"}
    assert records.in_target() == sorted([names[strategy]] * 4 + ["Hamburg"])
    assert run.counts.get("checked", 0) == (0 if strategy == "skip" else 4)
    assert not DataDifferential.objects.exclude(resolved=False).exists() or (
        DifferentialRecord.objects.filter(differential__resolved=True, state="open").count() == 0
    )
    assert DifferentialRecord.objects.get(legacy_id=5).state == "open"


@one_engine
def test_selection_of_several_jobs_is_refused_and_names_them(records) -> None:
    records.make(Kind.BOTH_CHANGED, 1)
    for name in ("Nightly", "Weekly"):
        sync(records.job(job_name=name), "compare")
    DataDifferential.objects.update(superseded_at=None)
    with pytest.raises(CannotDecide, match="“Nightly”, “Weekly”"):
        resolve(DifferentialRecord.objects.all(), "source_wins", by=None)
    with pytest.raises(CannotDecide, match="No record"):
        resolve(DifferentialRecord.objects.none(), "source_wins", by=None)


@one_engine
def test_selection_is_not_marked_while_another_run_is_open(records) -> None:
    job, record = compared(records, "both_changed")
    begin(job, "compare")
    with pytest.raises(AlreadyRunning):
        resolve(DifferentialRecord.objects.all(), "source_wins", by=None)
    record.refresh_from_db()
    assert (record.strategy, record.resolving_run) == ("", None)


@one_engine
def test_second_selection_waits_for_the_first_ones_run(records) -> None:
    for key in (1, 2):
        records.make(Kind.BOTH_CHANGED, key)
    job = records.job()
    sync(job, "compare")
    resolve(DifferentialRecord.objects.filter(legacy_id=1), "source_wins", by=None)
    other = DifferentialRecord.objects.filter(legacy_id=2)
    with pytest.raises(AlreadyRunning):
        resolve(other, "source_wins", by=None)
    assert other.get().resolving_run is None


@one_engine
def test_kind_that_does_not_allow_it_refuses_the_selection(records) -> None:
    records.make(Kind.MISSING, 1)
    records.make(Kind.BOTH_CHANGED, 2)
    sync(records.job(), "compare")
    with pytest.raises(CannotDecide, match=r"Missing in the target.*source_wins or skip"):
        resolve(DifferentialRecord.objects.all(), "target_wins", by=None)


@one_engine
@pytest.mark.parametrize(
    ("budget", "is_over"),
    [
        ({"max_deletes": 2, "max_deleted_percent": 100}, True),
        ({"max_deletes": 3, "max_deleted_percent": 100}, False),
        ({"max_deletes": 100, "max_deleted_percent": "29.99"}, True),
        ({"max_deletes": 100, "max_deleted_percent": 30}, False),
    ],
)
def test_deletes_over_the_budget_need_to_be_approved(records, budget, is_over) -> None:
    for key in range(1, 8):
        records.dispatch.add_offices(key)
    records.migrate(*range(1, 8))
    for key in (8, 9, 10):
        records.make(Kind.DELETED_IN_SOURCE, key)
    job = records.job(**budget)
    sync(job, "compare")
    chosen = DifferentialRecord.objects.all()
    told = preview(chosen, "source_wins")
    assert (told.actions, told.is_over_budget) == ({Action.DELETE_TARGET: 3}, is_over)
    assert told.deletes == {"offices": {"deletes": 3, "records": 10}}
    if is_over:
        with pytest.raises(OverDeleteBudget, match="3 of 10 offices") as refused:
            resolve(chosen, "source_wins", by=None, approved_deletes=2)
        assert refused.value.question["deletes"] == 3
        assert job.runs.count() == 1
    run, _ = resolve(chosen, "source_wins", by=None, approved_deletes=3 if is_over else 0)
    sync_to_end(job)
    run.refresh_from_db()
    assert (run.outcome, run.question, run.counts["delete_target"]) == ("completed", None, 3)
    assert Office.objects.count() == 7


@one_engine
def test_extra_row_is_deleted_only_by_a_person(records) -> None:
    job, record = compared(records, "extra")
    assert preview(DifferentialRecord.objects.all(), "target_wins").actions == {Action.SKIP: 1}
    resolve(DifferentialRecord.objects.all(), "source_wins", by=None)
    sync_to_end(job)
    assert records.in_target() == []
    record.refresh_from_db()
    assert record.state == "resolved"


@one_engine
def test_preview_shows_what_would_change_and_writes_nothing(records) -> None:
    job, record = compared(records, "both_changed", sync_direction="bidirectional")
    before = sides(records)
    chosen = DifferentialRecord.objects.all()
    [example] = preview(chosen, "source_wins").examples
    assert (example.record, example.action) == (record, Action.OVERWRITE)
    assert example.fields == {"name": ("Hamburg", "Celle")}
    [example] = preview(chosen, "target_wins").examples
    assert (example.action, example.fields) == (Action.RETURN, {"name": ("Celle", "Hamburg")})
    assert preview(chosen, "skip").examples[0].fields == {}
    assert sides(records) == before
    assert (job.runs.count(), AppliedChange.objects.count()) == (1, 0)
    assert not LegacyIdMapping.objects.exclude(migration_batch="first").exists()


# --- the source's catalogue -----------------------------------------------------------------


def asked_of(source, act):
    """The statements that the source is asked while `act` is done."""
    with CaptureQueriesContext(connections[source.alias]) as asked:
        act()
    return [each["sql"] for each in asked]


def looks(source, act):
    """How often the source's schema is looked at while `act` is done."""
    table = "dispatch_office"
    of_schema = asked_of(source, lambda: source.check([entities.get("offices")]))
    probe = next(each for each in of_schema if table in each)
    return asked_of(source, act).count(probe)


@one_engine
def test_schema_is_looked_at_once_for_each_decision(records):
    _, record = compared(records, "source_changed")
    _, token = explanation(record)
    assert looks(records.source, lambda: explanation(record)) == 1

    def stale():
        with pytest.raises(StaleRecord):
            decide(record, "source_wins", token="another", by=None)

    assert looks(records.source, stale) == 1
    assert looks(records.source, lambda: decide(record, "source_wins", token=token, by=None)) == 1


@one_engine
def test_schema_is_looked_at_once_for_all_examples_of_a_preview(records):
    for key in range(1, 8):
        records.make(Kind.SOURCE_CHANGED, key)
    sync(records.job(), "compare")
    found = DifferentialRecord.objects.all()
    assert looks(records.source, lambda: preview(found, "source_wins")) == 1
