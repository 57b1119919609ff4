"""The list of synchronizations and the page of one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from migrationsync.models import MigrationValidationReport, SynchronizationJob
from tests.factories.content import UserFactory
from tests.factories.sync import (
    CheckpointFactory,
    DifferentialFactory,
    JobFactory,
    QuarantinedRowFactory,
    RunFactory,
)
from tests.migrationsync.admin.visiting import (
    JOBS,
    QUARANTINE,
    client_of,
    number_of_queries,
    told,
    with_permissions,
)
from tests.migrationsync.syncing import Dispatch, sync

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    return client_of(UserFactory(is_staff=True, is_superuser=True))


def page_of(job: SynchronizationJob) -> str:
    return f"{JOBS}{job.pk}/change/"


def ran(job: SynchronizationJob, **fields: Any) -> Any:
    """A run that is over, the job's latest."""
    fields = {"outcome": "completed", "ended_at": timezone.now(), **fields}
    run = RunFactory(job=job, **fields)
    SynchronizationJob.objects.filter(pk=job.pk).update(latest_run=run, ended_at=run.ended_at)
    return run


# --- the list ---------------------------------------------------------------------------


def test_list_says_in_words_what_a_job_does_and_when(browser: Client) -> None:
    JobFactory(
        entities_to_sync=["offices", "profiles"],
        sync_direction="bidirectional",
        schedule_config={"interval_minutes": 15},
        next_run_at=timezone.now() + dt.timedelta(minutes=5, seconds=5),
        total_records_synced=1_234_567,
        success_rate=98,
    )
    ran(SynchronizationJob.objects.get())
    text = browser.get(JOBS).text
    assert "Offices, profiles · both ways · a person decides" in text
    assert "Every 15 minutes" in text
    assert "in 5 min" in text
    assert "1,234,567" in text
    assert "98 %" in text


def test_list_counts_what_is_to_decide_and_what_is_held_back(browser: Client) -> None:
    job = JobFactory(entities_to_sync=["offices", "profiles"])
    run = ran(job)
    checkpoint = CheckpointFactory(run=run, sync_job=job)
    DifferentialFactory(checkpoint=checkpoint, legacy_ids=[1, 2])
    DifferentialFactory(checkpoint=checkpoint, legacy_ids=[3], superseded_at=timezone.now())
    decided = DifferentialFactory(checkpoint=checkpoint, legacy_ids=[4, 5])
    decided.records.filter(legacy_id=4).update(state="resolved", decided_at=timezone.now())
    for entity in ("offices", "profiles", "doctors"):
        QuarantinedRowFactory(entity_type=entity)
    QuarantinedRowFactory(resolved_at=timezone.now())
    text = browser.get(JOBS).text
    assert ">3 differ</a>" in text
    assert ">2 in quarantine</a>" in text


def test_list_asks_as_often_for_twenty_jobs_as_for_one(browser: Client) -> None:
    ran(JobFactory())
    of_one = number_of_queries(browser, JOBS)
    for _ in range(20):
        run = ran(JobFactory(requested_by=UserFactory()), started_by=UserFactory())
        DifferentialFactory(checkpoint=CheckpointFactory(run=run, sync_job=run.job))
        QuarantinedRowFactory()
    assert number_of_queries(browser, JOBS) == of_one


def test_list_is_narrowed_by_state_type_and_direction(browser: Client) -> None:
    JobFactory(job_name="Never")
    JobFactory(job_name="Both", sync_direction="bidirectional", status="paused")
    for query in ("status__exact=paused", "sync_direction__exact=bidirectional", "q=bot"):
        found = browser.get(f"{JOBS}?{query}").context["cl"].result_list
        assert [each.job_name for each in found] == ["Both"]


def test_list_without_any_says_what_to_do(
    browser: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = browser.get(JOBS).text
    assert "LEGACY_DATABASE_URL" in text
    assert f"{JOBS}add/" in text
    monkeypatch.setitem(settings.DATABASES, "legacy", settings.DATABASES["default"])
    assert "LEGACY_DATABASE_URL" not in browser.get(JOBS).text
    assert "add one" not in with_permissions("view_synchronizationjob").get(JOBS).text


def test_list_shows_ones_own_to_who_may_add_and_all_to_who_may_view() -> None:
    user = UserFactory(is_staff=True, permissions=["add_synchronizationjob"])
    JobFactory(job_name="Mine", requested_by=user)
    JobFactory(job_name="Theirs")

    def names(client: Client) -> list[str]:
        return [each.job_name for each in client.get(JOBS).context["cl"].result_list]

    assert names(client_of(user)) == ["Mine"]
    assert names(with_permissions("view_synchronizationjob")) == ["Mine", "Theirs"]
    assert with_permissions().get(JOBS).status_code == 403


# --- the page -----------------------------------------------------------------------------


def test_page_tells_the_schedule_with_its_next_five_runs(browser: Client) -> None:
    job = JobFactory(
        job_type="scheduled_sync",
        schedule_config={"cron": "30 2 * * *"},
        next_run_at=timezone.now() + dt.timedelta(days=1),
    )
    text = browser.get(page_of(job)).text
    assert "At 02:30" in text
    section = text.partition('id="schedule-heading"')[2].partition("</section>")[0]
    assert section.count("02:30 UTC</time>") == 5


def test_page_of_a_cancelled_job_says_that_its_schedule_is_off(browser: Client) -> None:
    job = JobFactory(schedule_config={"interval_minutes": 15}, status="cancelled")
    text = browser.get(page_of(job)).text
    assert "brings it back" in text
    assert "next five runs" not in text


def test_page_shows_each_checkpoint_of_the_latest_run_and_its_counts(browser: Client) -> None:
    job = JobFactory(entities_to_sync=["offices", "profiles"])
    old = ran(job, number=1)
    CheckpointFactory(run=old, sync_job=job, last_processed_id="of the old one")
    run = ran(job, number=2, purpose="sync", outcome="failed", counts={"updated": 1_234})
    CheckpointFactory(
        run=run,
        sync_job=job,
        stage="sync-offices",
        status="completed",
        last_processed_id="4711",
    )
    CheckpointFactory(
        run=run,
        sync_job=job,
        stage="sync-profiles",
        entity_type="profiles",
        status="failed",
        error_message="The column prefs is gone.",
    )
    text = browser.get(page_of(job)).text
    assert "Run 2: sync" in text
    assert "4711" in text
    assert "The column prefs is gone." in text
    assert "1,234" in text
    assert "of the old one" not in text


def test_page_of_a_run_that_moves_shows_its_checkpoints_and_draws_them_anew(
    browser: Client,
) -> None:
    run = RunFactory(purpose="sync")
    job = run.job
    CheckpointFactory(
        run=run,
        sync_job=job,
        stage="sync-offices",
        last_processed_id="4711",
        counts={"updated": 77},
    )
    SynchronizationJob.objects.filter(pk=job.pk).update(latest_run=run, status="running")
    text = browser.get(page_of(job)).text
    assert "4711" in text.partition('id="at-sync-offices-last"')[2].partition("</td>")[0]
    assert "77 updated" in text.partition('id="at-sync-offices-counts"')[2].partition("</td>")[0]
    assert "77" in text.partition('id="run-counts"')[2].partition("</dl>")[0]
    assert "data-refresh-with-progress" in text
    run.outcome = "completed"
    run.save()
    assert "data-refresh-with-progress" not in browser.get(page_of(job)).text


def test_page_of_a_job_that_never_ran_says_what_to_do(browser: Client) -> None:
    text = browser.get(page_of(JobFactory())).text
    assert "run yet. “Run now” begins" in text
    assert "Nothing has happened yet." in text
    assert "Not run yet" in text
    assert '<table class="stages">' not in text


def test_page_says_what_run_began_and_what_came_of_it(browser: Client, dispatch: Dispatch) -> None:
    dispatch.add_offices(1, 2)
    job = dispatch.job()
    sync(job, "load")
    text = browser.get(page_of(job)).text
    events = text.partition('id="event-list"')[2].partition("</table>")[0]
    assert "Run 1, load</td>" in events
    assert "Run 1, load: " in events
    assert "2 inserted" in events


def test_page_counts_rows_that_a_load_left_out_as_what_they_are(browser: Client) -> None:
    job = JobFactory()
    ran(job, purpose="load", counts={"inserted": 5, "deleted": 13})
    text = browser.get(page_of(job)).text
    assert "13 left out as deleted" in text
    assert "13 deleted" not in text
    ran(job, number=2, purpose="resolve", counts={"return": 1, "skip": 2})
    text = browser.get(page_of(job)).text
    assert "1 written back to the source" in text
    assert "2 left as they are" in text


@pytest.mark.parametrize(
    ("question", "approved", "said"),
    [
        (None, 0, False),  # nobody was asked
        ({"deletes": 1, "entities": {"offices": {"deletes": 1, "records": 9}}}, 1, True),
    ],
)
def test_page_tells_of_deletes_that_were_approved(
    browser: Client, question: Any, approved: int, said: bool
) -> None:
    job = JobFactory()
    ran(job, purpose="sync", question=question, approved_deletes=approved)
    text = browser.get(page_of(job)).text
    assert ("1 delete was approved." in text) is said
    assert "0 deletes" not in text


def test_page_leads_from_what_differs_to_where_it_is_decided(browser: Client) -> None:
    run = ran(JobFactory())
    checkpoint = CheckpointFactory(run=run, sync_job=run.job)
    DifferentialFactory(checkpoint=checkpoint, legacy_ids=list(range(1, 8)))
    text = browser.get(page_of(run.job)).text
    assert "7 changed in both" in text
    assert "7 to decide" in text
    assert f"review/{run.job.pk}/offices/" in text
    listing = text.partition("datadifferential/?")[2].partition('"')[0].replace("&amp;", "&")
    response = browser.get(f"/admin/migrationsync/datadifferential/?{listing}")
    assert len(response.context["cl"].result_list) == 1


def test_page_says_that_nothing_differs_only_after_a_comparison(browser: Client) -> None:
    job = JobFactory()
    assert "Nothing differs" not in browser.get(page_of(job)).text
    ran(job, purpose="compare")
    assert "Nothing differs" in browser.get(page_of(job)).text


def test_page_tells_why_rows_of_its_entities_are_in_quarantine(browser: Client) -> None:
    job = JobFactory()
    for _ in range(3):
        QuarantinedRowFactory()
    QuarantinedRowFactory(entity_type="profiles")
    text = browser.get(page_of(job)).text
    section = text.partition('id="quarantine-heading"')[2].partition("</section>")[0]
    assert "is no number" in section
    assert "(3)" in section
    assert f"{QUARANTINE}?entity=offices" in section
    assert "Profiles" not in section


def test_page_sums_up_the_last_validation(browser: Client) -> None:
    run = ran(JobFactory(), purpose="validate")
    reported(run, "completeness_check", wrong=12)
    reported(run, "data_integrity")
    section = validation_of(browser, run.job)
    assert "12 wrong" in section
    assert "passed" in section
    assert "by run" not in section


def test_page_keeps_what_earlier_validations_reported_of_the_rest(browser: Client) -> None:
    job = JobFactory(entities_to_sync=["offices", "profiles"])
    first = ran(job, number=1, purpose="validate")
    reported(first, "completeness_check", wrong=12)
    reported(first, "completeness_check", entity="profiles", wrong=7)
    reported(ran(job, number=2, purpose="validate"), "completeness_check", wrong=3)
    section = validation_of(browser, job)
    assert "3 wrong" in section
    assert "12 wrong" not in section
    assert "By run 2" in section
    assert "by run 1" in section.partition("7 wrong")[2]


def reported(run: Any, name: str, *, entity: str = "offices", wrong: int = 0) -> None:
    MigrationValidationReport.objects.create(
        run=run,
        entity_type=entity,
        validation_type=name,
        source_entity="dispatch_office",
        target_entity=entity,
        records_validated=100,
        validation_passed=not wrong,
        discrepancies_found=wrong,
        discrepancy_details=[{"what": "is missing", "count": wrong}] if wrong else [],
        execution_time_ms=5,
        generated_at=timezone.now(),
        expires_at=timezone.now() + dt.timedelta(days=1),
    )


def validation_of(browser: Client, job: SynchronizationJob) -> str:
    text = browser.get(page_of(job)).text
    return text.partition('id="validation-heading"')[2].partition("</section>")[0]


def test_page_lists_the_runs_and_leads_to_older_ones(browser: Client) -> None:
    job = JobFactory()
    for number in range(1, 13):
        ran(job, number=number, purpose="sync", is_scheduled=True, counts={"updated": number})
    text = browser.get(page_of(job)).text
    assert "by the schedule" in text
    assert "12 updated" in text
    assert "2 updated" not in text.replace("12 updated", "")
    older = browser.get(f"{page_of(job)}?runs_before=3").text
    assert "2 updated" in older.replace("12 updated", "")
    for nonsense in ("x", "9" * 30):
        assert browser.get(f"{page_of(job)}?runs_before={nonsense}").status_code == 200


def test_page_asks_as_often_for_many_rows_as_for_one(browser: Client) -> None:
    job = JobFactory()

    def grow(numbers: range) -> None:
        for number in numbers:
            run = ran(job, number=number, started_by=UserFactory())
            for entity in ("offices", "profiles"):
                checkpoint = CheckpointFactory(run=run, sync_job=job, entity_type=entity)
                DifferentialFactory(checkpoint=checkpoint, legacy_ids=[number])
            QuarantinedRowFactory()

    grow(range(1, 2))
    of_one = number_of_queries(browser, page_of(job))
    grow(range(2, 9))
    assert number_of_queries(browser, page_of(job)) == of_one


def test_page_of_somebody_elses_is_for_who_may_view(browser: Client) -> None:
    owner = UserFactory(is_staff=True)
    job = JobFactory(requested_by=owner)
    assert client_of(owner).get(page_of(job)).status_code == 200
    viewer = with_permissions("view_synchronizationjob")
    text = viewer.get(page_of(job)).text
    assert "data-start" not in text
    assert "Change…" not in text
    refused = with_permissions("add_synchronizationjob").get(page_of(job))
    assert refused.status_code == 302
    assert "isn't yours to see" in told(refused)[0]


def test_page_warns_of_what_its_entities_refer_to_and_nobody_brings_over(browser: Client) -> None:
    job = JobFactory(entities_to_sync=["profiles"])
    assert "neither chosen nor migrated" in browser.get(page_of(job)).text
