"""`manage.py sync`: what it prints and how it exits."""

from __future__ import annotations

import io
import signal

import pytest

from migrationsync.dispatch.models import Office
from migrationsync.entities import entities
from migrationsync.kind import SYNC
from migrationsync.management.asking import TERMINALS_JOB
from migrationsync.management.following import follow_run
from migrationsync.models import DifferentialRecord, LegacyIdMapping, SynchronizationJob
from migrationsync.services.jobs import change_job
from migrationsync.services.running import start_run
from migrationsync.source import SourceUnreachable
from operations import control
from tests.factories.sync import JobFactory
from tests.migrationsync.syncing import begin, sync, sync_to_end
from tests.processes import StartProcess, start_process, wait_until

__all__ = ["start_process"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(dispatch):
    """Its four offices are on both sides, alike."""
    dispatch.add_offices(1, 2, 3, 4)
    job = dispatch.job(job_name="Offices", entities_to_sync=["offices"], max_deletes=1)
    sync(job, "load")
    return job


@pytest.fixture
def differing(job, dispatch):
    """One was changed in the source, one in both, one is missing."""
    dispatch.change(1, 2)
    target(2).update(name="Hamburg")
    dispatch.add_offices(5)
    return job


def target(key):
    mapped = LegacyIdMapping.objects.filter(entity_type="offices", legacy_id=key)
    return Office.objects.filter(pk__in=mapped.values("uuid_id"))


# --- asking wrongly -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "offcies"], "There is no synchronization “offcies”. Did you mean “Offices”?"),
        (["status", "offcies"], "Did you mean “Offices”?"),
        (["diff", "xyz"], "There are: Offices."),
        (["diff", "Offices", "--entities", "ofices"], "Did you mean “offices”?"),
        (["diff", "--entities", "ofices"], "Did you mean “offices”?"),
        (["run", "Offices", "--entities", "profiles"], "isn't about profiles, but about offices"),
        (["diff"], "Name a synchronization, or --entities."),
        (["diff", "Offices", "--since", "2026-01-01", "--source-only"], "leave --source-only out"),
        (
            ["resolve", "Offices", "--strategy", "skip", "--records", "1"],
            "--records are those of an --entity.",
        ),
        (
            ["resolve", "Offices", "--strategy", "skip", "--entity", "offices", "--records", "77"],
            "These aren't open to be resolved: 77.",
        ),
        (["run", "Offices", "--approve-deletes", "5"], "Offices doesn't ask anything."),
    ],
)
def test_asking_wrongly_exits_2_and_says_what_was_meant(command, job, arguments, said):
    sync(job, "compare")
    code, out, refusal = command(*arguments)
    assert said in refusal
    assert (code, out) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diff", "Offices", "--since", "yesterday"], "write it as 2026-03-01"),
        (["diff", "Offices", "--examples", "-1"], "no number from 0 on"),
        (
            ["resolve", "Offices", "--strategy", "skip", "--records", "x"],
            "neither a legacy id nor a UUID",
        ),
    ],
)
def test_arguments_of_a_wrong_form_say_how_to_write_them(command, arguments, said):
    assert said in command(*arguments).refusal


# --- run ------------------------------------------------------------------------------


def test_run_is_followed_to_its_end(command, dispatch, worker):
    dispatch.add_offices(1, 2)
    dispatch.job(job_name="Move", entities_to_sync=["offices"], job_type="differential_migration")
    code, out, _ = command("run", "Move")
    assert code == 0
    assert out.startswith("Started run 1 of Move.\n")
    assert "load-offices: 2 of 2, 100 %" in out
    assert out.endswith("Run 1 of Move is completed: 2 inserted.\n")


def test_run_of_one_that_recurs_ends_with_the_run(command, dispatch, worker):
    dispatch.add_offices(1)
    job = dispatch.job(
        job_name="Often",
        entities_to_sync=["offices"],
        job_type="differential_migration",
        schedule_config={"interval_minutes": 5},
    )
    assert command("run", "Often").code == 0
    job.refresh_from_db()
    assert job.status == "scheduled"
    # Also where it is through before anybody looks.
    run, _ = start_run(job, by=None)
    sync_to_end(job)
    follow_run(run, io.StringIO(), then="")
    assert run.outcome == "completed"


def test_run_says_what_was_done_in_words(command, dispatch, worker):
    dispatch.add_offices(1, 2)
    dispatch.change(2, column="deleted", to=1)
    dispatch.job(job_name="Load", entities_to_sync=["offices"], job_type="differential_migration")
    out = command("run", "Load").out
    assert "Run 1 of Load is completed: 1 left out as deleted, 1 inserted." in out


def test_run_json_is_one_object(command, differing, worker):
    result = command("run", "Offices", "--json")
    assert (result.code, result.json["outcome"], result.json["created"]) == (0, "completed", True)
    assert result.json["checkpoints"][0]["stage"] == "sync-offices"


def test_run_detached_isnt_followed_and_the_next_one_follows_it(command, differing, worker):
    code, out, _ = command("run", "Offices", "--detach")
    assert (code, out) == (0, "Started run 2 of Offices.\n")
    differing.refresh_from_db()
    assert differing.latest_run.is_open
    code, out, _ = command("run", "Offices")
    assert code == 0
    assert out.startswith("Under way already: run 2 of Offices.\n")


def test_run_while_another_is_open_says_so(command, job):
    begin(job, "compare")
    code, _, refusal = command("run", "Offices")
    assert code == 1
    assert "is at it already" in refusal


def test_run_that_fails_exits_1_with_the_reason(command, dispatch, worker):
    dispatch.add_offices(1)
    dispatch.change(1, column="active", to="?")
    dispatch.job(
        job_name="Move",
        entities_to_sync=["offices"],
        job_type="differential_migration",
        max_failed_percent=0,
    )
    code, _, refusal = command("run", "Move")
    assert code == 1
    assert refusal.startswith("Run 1 of Move is failed. ")


def test_run_that_stops_to_ask_exits_3_and_is_answered_from_here(command, job, dispatch, worker):
    dispatch.remove(1, 2)
    code, _, refusal = command("run", "Offices")
    assert code == 3
    assert "it would delete 2 of 4 offices" in refusal
    assert refusal.endswith("manage.py sync run Offices --approve-deletes 2")
    assert "it would delete 2 of 4 offices" in command("status", "Offices").out
    assert command("status", "Offices", "--json").json["latest_run"]["question"]["deletes"] == 2

    too_few = command("run", "Offices", "--approve-deletes", 1)
    assert (too_few.code, Office.objects.count()) == (2, 4)
    assert command("run", "Offices", "--approve-deletes", 2).code == 0
    assert Office.objects.count() == 2


# --- status ---------------------------------------------------------------------------


def test_status_lists_all(command, job):
    JobFactory(job_name="Another")
    code, out, _ = command("status")
    header, another, offices = out.splitlines()
    assert code == 0
    assert header.startswith("Synchronization  Status")
    assert another.startswith("Another ")
    assert offices.split()[:2] == ["Offices", "Completed"]
    assert [each["job"] for each in command("status", "--json").json["jobs"]] == [
        "Another",
        "Offices",
    ]


def test_status_without_any_says_so(command):
    assert command("status").out.startswith("There is none yet")


def test_status_of_one_shows_checkpoints_and_next_runs(command, job):
    job.refresh_from_db()
    change_job(job, by=None, schedule_config={"cron": "30 2 * * *"})
    code, out, _ = command("status", str(job.pk))
    assert code == 0
    assert "load-offices" in out
    assert "02:30" in out
    found = command("status", "Offices", "--json").json
    assert len(found["next_runs"]) == 5
    assert found["checkpoints"][0]["records_processed"] == 4


# --- diff -----------------------------------------------------------------------------


def test_diff_without_differences_exits_0(command, job, worker):
    code, out, _ = command("diff", "Offices")
    assert code == 0
    assert out.endswith("No differences: 8 rows examined.\n")


def test_diff_with_differences_exits_1_and_lists_them(command, differing, worker):
    code, out, _ = command("diff", "Offices")
    assert code == 1
    lines = [line.split("  ") for line in out.splitlines()]
    table = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["Entity", "Kind", "Records", "First"] in table
    assert ["offices", "Changed in both", "1", "2"] in table
    assert ["offices", "Missing in the target", "1", "5"] in table
    assert out.endswith("3 records differ; 9 rows were examined.\n")


def test_diff_json_is_one_object_with_as_many_ids_as_asked_for(command, job, dispatch, worker):
    dispatch.add_offices(*range(10, 20))
    result = command("diff", "Offices", "--json", "--examples", "3")
    assert (result.code, result.json["differences"], result.json["examined"]) == (1, 10, 18)
    [found] = result.json["found"]
    assert (found["kind"], found["records"], found["first"]) == ("missing", 10, [10, 11, 12])
    none = command("diff", "Offices", "--json", "--examples", "0").json
    assert none["found"][0]["first"] == []


def test_diff_of_entities_alone_makes_its_own_job(command, job, dispatch, worker, monkeypatch):
    make = SynchronizationJob.__init__

    def with_alias(self, *args, **fields):
        make(self, *args, **fields)
        if not args and "source_alias" not in fields:
            self.source_alias = dispatch.source.alias

    monkeypatch.setattr(SynchronizationJob, "__init__", with_alias)
    assert command("diff", "--entities", "offices").code == 0
    made = SynchronizationJob.objects.get(job_name=TERMINALS_JOB)
    assert set(made.entities_to_sync) == {entity.name for entity in entities}
    assert made.latest_run.entities == ["offices"]
    dispatch.add_offices(5)
    assert command("diff", "--entities", "offices").code == 1
    assert SynchronizationJob.objects.filter(job_name=TERMINALS_JOB).count() == 1


def test_diff_of_entities_alone_without_a_source_cant_be_finished(command):
    code, _, refusal = command("diff", "--entities", "offices")
    assert code == 3
    assert "LEGACY_DATABASE_URL" in refusal


def test_diff_again_follows_the_open_one_and_another_is_refused(command, differing, worker):
    begin(differing, "compare")
    refused = command("diff", "Offices", "--source-only")
    assert (refused.code, "at it already (compare (dry run) of" in refused.refusal) == (3, True)
    code, out, _ = command("diff", "Offices")
    assert out.startswith("Under way already: run 2 of Offices.\n")
    assert code == 1


def test_diff_since_and_source_only_are_asked_of_the_run(command, differing, worker):
    assert command("diff", "Offices", "--source-only").code == 1
    differing.refresh_from_db()
    assert differing.latest_run.options == {"source_only": True}
    begin(differing, "compare", options={"since": "2024-01-01T00:00:00+00:00"})
    code, out, _ = command("diff", "Offices", "--since", "2024-01-01T00:00:00Z")
    assert (code, "Under way already" in out) == (1, True)


def test_diff_that_fails_exits_3_and_never_0_or_1(command, job, dispatch, worker):
    dispatch.legacy("ALTER TABLE dispatch_office DROP COLUMN city")
    result = command("diff", "Offices", "--json")
    assert (result.code, result.json["outcome"]) == (3, "failed")
    assert "city" in result.refusal


def test_diff_that_is_cancelled_exits_3(command, job, meanwhile):
    meanwhile(lambda: control.request_cancel(SYNC, SynchronizationJob.objects.get()))
    code, _, refusal = command("diff", "Offices")
    assert (code, refusal) == (3, "Run 2 of Offices is cancelled.")


def test_diff_that_breaks_exits_3_whatever_it_was(command, job, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no more")

    monkeypatch.setattr("migrationsync.management.verbs.started", broken)
    code, _, refusal = command("diff", "Offices")
    assert (code, refusal) == (3, "It couldn't be finished: no more")


def test_diff_interrupted_exits_130_and_says_how_to_go_on(command, job, meanwhile):
    def interrupt():
        raise KeyboardInterrupt

    meanwhile(interrupt)
    code, _, refusal = command("diff", "Offices")
    assert code == 130
    assert refusal == (
        "No longer followed; Run 2 of Offices goes on. To follow it again: the same again"
    )
    job.refresh_from_db()
    assert job.latest_run.is_open


# --- resolve --------------------------------------------------------------------------


def test_resolve_dry_run_shows_what_would_be_done_and_does_nothing(command, differing):
    sync(differing, "compare")
    arguments = ("resolve", "Offices", "--strategy", "source_wins", "--kind", "both_changed")
    code, out, _ = command(*arguments, "--dry-run")
    assert code == 0
    assert "name: Hamburg → Celle" in out
    assert command(*arguments, "--dry-run", "--json").json["preview"]["actions"] == {"overwrite": 1}
    differing.refresh_from_db()
    assert (differing.latest_run.purpose, target(2).get().name) == ("compare", "Hamburg")


def test_resolve_does_it_and_says_what_came_of_it(command, differing, worker):
    sync(differing, "compare")
    code, out, _ = command("resolve", "Offices", "--strategy", "source_wins")
    assert code == 0, out
    assert "3 resolved, 0 left as they are, 0 couldn't be resolved, 0 still open." in out
    assert command("diff", "Offices").code == 0
    assert command("resolve", "Offices", "--strategy", "skip").out == (
        "Nothing is open to be resolved.\n"
    )


def test_resolve_of_some_records_leaves_the_others(command, differing, worker):
    sync(differing, "compare")
    arguments = [
        "resolve",
        "Offices",
        "--strategy",
        "skip",
        "--entity",
        "offices",
        "--json",
        "--records",
    ]
    result = command(*arguments, 2)
    assert (result.code, result.json["skipped"], result.json["failed"]) == (0, 1, 0)
    states = DifferentialRecord.objects.order_by("legacy_id").values_list("legacy_id", "state")
    assert dict(states) == {1: "open", 2: "skipped", 5: "open"}


def test_resolve_over_the_budget_exits_3_and_says_how_to_approve(command, job, dispatch, worker):
    dispatch.remove(1, 2)
    sync(job, "compare")
    arguments = ("resolve", "Offices", "--strategy", "source_wins")
    code, _, refusal = command(*arguments)
    assert code == 3
    assert refusal.endswith("--approve-deletes 2")
    assert command(*arguments, "--approve-deletes", 2).code == 0
    assert Office.objects.count() == 2


@pytest.mark.parametrize(
    "chosen", [("--kind", "missing"), ("--entity", "offices", "--records", 2, 5)]
)
def test_resolve_that_doesnt_fit_what_was_named_exits_2(command, differing, chosen):
    sync(differing, "compare")
    code, _, refusal = command("resolve", "Offices", "--strategy", "target_wins", *chosen)
    assert code == 2
    assert "can't be resolved by target_wins" in refusal


def test_resolve_of_all_leaves_out_what_doesnt_fit_and_says_so(command, differing, worker):
    sync(differing, "compare")
    arguments = ("resolve", "Offices", "--strategy", "target_wins")
    dry = command(*arguments, "--dry-run", "--json").json["preview"]
    assert (dry["actions"], dry["left_out"]) == ({"accept": 2}, {"missing": 1})
    code, out, _ = command(*arguments)
    assert code == 0
    left = "Left out: 1 “Missing in the target”, for which there is only source_wins or skip."
    assert left in out
    states = DifferentialRecord.objects.order_by("legacy_id").values_list("legacy_id", "state")
    assert dict(states) == {1: "resolved", 2: "resolved", 5: "open"}


def test_resolve_of_what_is_no_longer_declared_exits_3_with_the_reason(
    command, differing, monkeypatch
):
    sync(differing, "compare")
    monkeypatch.setattr(entities, "declared", [])
    for more in ([], ["--dry-run"]):
        code, _, refusal = command("resolve", "Offices", "--strategy", "skip", *more)
        assert code == 3
        assert "declare it again" in refusal


def test_resolve_without_a_source_exits_3_with_the_reason(command, differing, monkeypatch):
    sync(differing, "compare")

    def away(*args, **kwargs):
        raise SourceUnreachable("It is away.")

    monkeypatch.setattr("migrationsync.source.Source.read", away)
    code, _, refusal = command("resolve", "Offices", "--strategy", "source_wins", "--dry-run")
    assert (code, refusal) == (3, "It is away.")


# --- validate -------------------------------------------------------------------------


def test_validate_that_passes_exits_0(command, job, worker):
    code, out, refusal = command("validate", "Offices", "--types", "completeness_check")
    assert (code, refusal) == (0, ""), out
    assert out.endswith("All 1 passed.\n")


def test_validate_that_doesnt_pass_exits_1_with_what_is_wrong(command, job, dispatch, worker):
    dispatch.add_offices(5)
    code, out, _ = command("validate", "Offices", "--types", "completeness_check")
    assert code == 1
    assert "1 of 1 didn't pass." in out
    result = command("validate", "Offices", "--json")
    assert (result.code, result.json["outcome"]) == (1, "completed")
    wrong = [each for each in result.json["reports"] if not each["passed"]]
    assert wrong[0]["discrepancies_found"] >= 1


# --- in processes of their own ----------------------------------------------------------


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_diff_in_a_process_exits_as_it_should(dispatch, start_process: StartProcess) -> None:
    dispatch.add_offices(1)
    job = dispatch.job(job_name="Offices", entities_to_sync=["offices"])

    def run(number):
        process = start_process("sync", "diff", "Offices")
        wait_until(lambda: job.runs.filter(number=number).exists(), "it is started")
        return process

    differing = run(1)
    sync_to_end(job)
    assert differing.wait() == 1
    assert "Missing in the target" in differing.output()
    assert "CommandError" not in differing.output()

    sync(job, "load")
    alike = run(3)
    sync_to_end(job)
    assert alike.wait() == 0, alike.output()

    dispatch.legacy("ALTER TABLE dispatch_office DROP COLUMN city")
    broken = run(4)
    sync_to_end(job)
    assert broken.wait() == 3, broken.output()
    assert start_process("sync", "diff", "nowhere").wait() == 2


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_diff_in_a_process_interrupted_exits_130_and_goes_on(
    dispatch, start_process: StartProcess
) -> None:
    job = dispatch.job(job_name="Offices", entities_to_sync=["offices"])
    process = start_process("sync", "diff", "Offices")
    wait_until(lambda: "No worker" in process.output(), "it waits")
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert "To follow it again" in process.output()
    assert "Traceback" not in process.output()
    assert job.runs.get().is_open
