"""Synchronizations in the admin, in a real browser: adding one, running it, watching it to its
end, answering its question; the quarantine and the look-up."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright import sync_api as playwright

from migrationsync.dispatch.legacy.tables import OFFICE, PROFILE
from migrationsync.kind import SYNC
from migrationsync.models import SynchronizationJob, SynchronizationRun
from migrationsync.source import Source
from operations import runner
from tests import needs
from tests.browser.conftest import Browser, Serve, appears, button, is_shown, shoot, shows
from tests.factories.sync import (
    CheckpointFactory,
    DifferentialFactory,
    JobFactory,
    MappingFactory,
    QuarantinedRowFactory,
    RunFactory,
)
from tests.migrationsync.syncing import Dispatch, sync, sync_to_end

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

LIST = "/admin/migrationsync/synchronizationjob/"
ADD = f"{LIST}add/"
QUARANTINE = "/admin/migrationsync/quarantinedrow/"
LOOK_UP = "/admin/migrationsync/legacyidmapping/"


@pytest.fixture(autouse=True)
def server(serve: Serve, settings: Any) -> Any:
    return serve()


@pytest.fixture
def dispatch(transactional_db: None) -> Iterator[Dispatch]:
    """Legacy tables beside the others: so the server's process sees them too."""
    made = Dispatch(Source("default"))
    yield made
    for table in (PROFILE, OFFICE):
        made.legacy(f"DROP TABLE {table.name}")


def page_of(job: SynchronizationJob) -> str:
    return reverse("admin:migrationsync_synchronizationjob_change", args=[job.pk])


def open_page(page: Any, job: SynchronizationJob) -> None:
    page.goto(page_of(job))
    shows(page, "[data-feed=link]", "Live")


def press(page: Any, name: str) -> None:
    page.locator(f"[data-start={name}]").click()


def step(job: SynchronizationJob) -> None:
    """One step of what the job does now, as a worker would do it."""
    job.refresh_from_db()
    checkpoint = SYNC.jobs_of(job).filter(status__in=["pending", "in_progress"]).first()
    runner.run("sync", checkpoint.pk, budget_seconds=0)


# --- adding -------------------------------------------------------------------------------


def test_job_is_added_with_the_way_out_of_what_is_wrong(browser_page: Any, admin: User) -> None:
    page = browser_page
    page.goto(LIST)
    shoot(page, "sync-jobs-empty")
    page.get_by_role("link", name="add one").click()
    page.get_by_label("Name", exact=True).fill("Nightly")
    page.get_by_label("Scheduled sync").check()
    page.get_by_label("Profiles", exact=True).check()
    page.get_by_label("At certain times").check()
    page.get_by_label("Cron expression", exact=True).fill("30 2 * * 1")
    shows(page, "[data-schedule-preview] strong", "At 02:30, only on Monday (UTC).")
    playwright.expect(page.locator("[data-schedule-preview] li")).to_have_count(5)
    page.get_by_label("Cron expression", exact=True).fill("30 25 * * *")
    shows(page, "[data-schedule-preview]", re.compile("has no next run"))
    playwright.expect(page.locator("[data-schedule-preview] li")).to_have_count(0)
    page.get_by_role("button", name="Save").click()
    is_shown(page.locator(".of-choice .errorlist").filter(has_text="30 25 * * *"))
    is_shown(page.locator(".entities").get_by_text("Not chosen"))
    shoot(page, "sync-job-refused")
    page.get_by_label("Cron expression", exact=True).fill("30 2 * * *")
    page.get_by_label("Offices", exact=True).check()
    page.get_by_role("button", name="Save").click()
    appears(page, "“Nightly” was added. At 02:30")
    playwright.expect(page.locator("#section-schedule li")).to_have_count(5)
    job = SynchronizationJob.objects.get()
    assert job.entities_to_sync == ["offices", "profiles"]
    assert job.requested_by == admin
    shoot(page, "sync-job-new")


def test_form_is_filled_in_by_keyboard_and_without_javascript(
    browser: Browser, admin: User
) -> None:
    page = browser.tab(admin, ADD, scripts=False)
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("By hand")
    page.get_by_label("Offices", exact=True).press("Space")
    page.get_by_role("button", name="Save").press("Enter")
    appears(page, "“By hand” was added. Only when somebody asks.")
    page.get_by_role("link", name="Change…").click()
    playwright.expect(page.get_by_label("Name", exact=True)).to_have_value("By hand")
    playwright.expect(page.get_by_label("Offices", exact=True)).to_be_checked()
    shoot(page, "sync-job-form")


# --- running and watching -------------------------------------------------------------------


def test_run_is_watched_live_from_its_start_to_its_end(
    browser_page: Any, admin: User, dispatch: Dispatch
) -> None:
    page = browser_page
    dispatch.add_offices(*range(1, 9))
    dispatch.add_profiles(*range(1, 5))
    dispatch.add_profiles(5, role=9)
    job = dispatch.job(
        by=admin,
        job_type="differential_migration",
        max_records_per_batch=3,
        max_failed_percent=50,
    )
    page.goto(page_of(job))
    press(page, "run_now")
    appears(page, "run 1 was started (load)")
    shows(page, "[data-feed=link]", "Live")
    step(job)
    offices = page.locator("[data-stage=load-offices]")
    playwright.expect(offices.locator("[data-show=done]")).to_have_text("3")
    playwright.expect(offices.locator("[data-show=total]")).to_have_text("8")
    # The page was drawn before anybody knew how much there is: 9 of 15 parts are the offices.
    shows(page, "[data-feed=percent]", "22 %")
    counts = page.locator("#at-load-offices-counts")
    playwright.expect(counts).to_have_text("3 inserted")
    playwright.expect(page.locator("#at-load-offices-last")).to_have_text("3")
    step(job)
    playwright.expect(counts).to_have_text("6 inserted")
    playwright.expect(page.locator("#at-load-offices-last")).to_have_text("6")
    shown = page.locator("[data-feed=percent]").inner_text()
    page.reload()
    shows(page, "[data-feed=percent]", shown)
    shoot(page, "sync-job-running")
    sync_to_end(job)
    shows(page, "#state", re.compile("Completed"))
    is_shown(page.locator("#section-quarantine").get_by_text("role_code"))
    is_shown(page.locator("#section-history").get_by_text("12 inserted"))
    is_shown(page.locator("[data-start=dry_run]"))
    shoot(page, "sync-job-completed")


def test_dry_run_tells_what_differs_and_changes_nothing(
    browser_page: Any, admin: User, dispatch: Dispatch
) -> None:
    page = browser_page
    dispatch.add_offices(*range(1, 9))
    job = dispatch.job(by=admin)
    sync(job, "load")
    dispatch.change(1, 2)
    dispatch.remove(3)
    dispatch.add_offices(9)
    page.goto(page_of(job))
    press(page, "dry_run")
    shows(page, "[data-feed=link]", "Live")
    sync_to_end(job)
    for text in ("2 changed in the source", "1 deleted in the source", "1 missing in the target"):
        is_shown(page.locator("#section-differences").get_by_text(text))
    shoot(page, "sync-job-differs")
    page.get_by_role("link", name="Review offices").click()
    page.wait_for_url("**/review/**")


def test_run_is_paused_and_resumed_from_the_page(
    browser_page: Any, admin: User, dispatch: Dispatch
) -> None:
    page = browser_page
    dispatch.add_offices(*range(1, 9))
    job = dispatch.job(by=admin, job_type="differential_migration", max_records_per_batch=3)
    page.goto(page_of(job))
    press(page, "run_now")
    shows(page, "[data-feed=link]", "Live")
    step(job)
    button(page, "pause").click()
    shows(page, "#state", re.compile("Paused"))
    is_shown(page.locator("[data-start=run_now]"), False)
    button(page, "resume").click()
    shows(page, "#state", re.compile("Running"))
    sync_to_end(job)
    shows(page, "#state", re.compile("Completed"))
    assert job.latest_run.counts["inserted"] == 8


def test_deletes_over_the_budget_are_approved_on_the_page(
    browser_page: Any, admin: User, dispatch: Dispatch
) -> None:
    page = browser_page
    dispatch.add_offices(*range(1, 9))
    job = dispatch.job(by=admin, conflict_resolution="source_wins", max_deletes=1)
    sync(job, "load")
    dispatch.remove(1, 2, 3)
    open_page(page, job)
    press(page, "run_now")
    appears(page, "run 2 was started (sync)")
    sync_to_end(job)
    is_shown(page.locator("#question").get_by_text("It would delete 3 of 8 offices"))
    dashboard = page.context.new_page()
    dashboard.goto("/admin/operations/")
    asked = dashboard.locator("#attention").get_by_text("May it delete 3 of 8 offices?")
    is_shown(asked)
    shoot(dashboard, "sync-dashboard-asks")
    shoot(page, "sync-job-asks")
    page.get_by_role("link", name="Approve…").click()
    appears(page, "Delete 3 of 8 offices?")
    shoot(page, "sync-job-approve")
    page.get_by_role("button", name="Approve 3 deletes").click()
    appears(page, "3 deletes were approved")
    is_shown(page.locator("#question .notice"), False)
    is_shown(asked, False)
    dashboard.close()
    sync_to_end(job)
    shows(page, "#state", re.compile("Completed"))


# --- how they look --------------------------------------------------------------------------


def some_jobs(admin: User) -> SynchronizationJob:
    """In several states; the one that says the most is returned."""
    now = timezone.now()
    nightly = JobFactory(
        job_name="Nightly: everything from the dispatch office",
        job_type="scheduled_sync",
        requested_by=admin,
        entities_to_sync=["offices", "profiles", "doctors", "patients", "orders", "products"],
        sync_direction="bidirectional",
        schedule_config={"cron": "30 2 * * 1-5"},
        next_run_at=now + dt.timedelta(hours=7),
        total_records_synced=1_204_377,
        success_rate=97.5,
    )
    for number in range(1, 13):
        run = RunFactory(
            job=nightly,
            number=number,
            purpose="sync",
            is_scheduled=True,
            outcome="failed" if number % 5 == 0 else "completed",
            ended_at=now - dt.timedelta(days=12 - number),
            counts={"updated": 117 * number, "unchanged": 1_200_000, "quarantined": number},
        )
        SynchronizationRun.objects.filter(pk=run.pk).update(
            created_at=run.ended_at - dt.timedelta(seconds=73 + number)
        )
    for entity, status in (("offices", "completed"), ("profiles", "completed")):
        checkpoint = CheckpointFactory(
            run=run,
            sync_job=nightly,
            entity_type=entity,
            stage=f"sync-{entity}",
            status=status,
            last_processed_id="204177",
            records_processed=1_200,
            records_total=1_200,
        )
        for kind in ("both_changed", "target_changed"):
            DifferentialFactory(
                checkpoint=checkpoint, kind=kind, legacy_ids=list(range(1, 40 + len(entity)))
            )
    SynchronizationJob.objects.filter(pk=nightly.pk).update(
        latest_run=run, ended_at=run.ended_at, started_at=run.created_at
    )
    JobFactory(job_name="Not run yet", requested_by=admin)
    failed = JobFactory(
        job_name="Every quarter of an hour",
        schedule_config={"interval_minutes": 15},
        status="failed",
        error_code="schema_drift",
        error_message="The table dispatch_office has no column “rent” any more.",
        success_rate=50,
        ended_at=now,
        started_at=now,
    )
    failed_run = RunFactory(job=failed, purpose="sync", outcome="failed", ended_at=now)
    SynchronizationJob.objects.filter(pk=failed.pk).update(latest_run=failed_run)
    for number in range(30):
        QuarantinedRowFactory(
            entity_type="offices" if number % 3 else "profiles",
            reasons=[
                {"column": "rent", "value": "about 800", "problem": "is no number"},
                {"column": "opened", "value": "0000-00-00", "problem": "is no date"},
            ][: 1 + number % 2],
            data={
                "id": number + 1,
                "name": "Office at the very long street " * 3,
                "rent": "about 800",
                "opened": "0000-00-00",
                "city": None,
                "phone": "",
            },
            attempts=1 + number % 4,
        )
    return nightly


def test_pages_look_as_they_should(browser_page: Any, admin: User) -> None:
    page = browser_page
    nightly = some_jobs(admin)
    page.goto(LIST)
    shoot(page, "sync-jobs")
    open_page(page, nightly)
    shoot(page, "sync-job")
    page.goto(QUARANTINE)
    page.locator("#result_list details summary").first.click()
    shoot(page, "sync-quarantine")
    page.locator("#result_list th a").first.click()
    shoot(page, "sync-quarantine-row")
    mapping = MappingFactory(
        legacy_id=17,
        validation_status="validated",
        last_synced="North\tBerlin\t+49 30 1234\t812.50\tt\t2020-02-29"
        "\t2024-05-02 10:00:00+00\t2024-05-02 10:00:00+00",
    )
    MappingFactory(legacy_id=17, entity_type="profiles", target_table="profiles")
    page.goto(LOOK_UP)
    page.get_by_label("A legacy id").fill("17")
    page.keyboard.press("Enter")
    appears(page, str(mapping.uuid_id))
    shoot(page, "sync-look-up")


def test_dashboard_shows_synchronizations_as_other_kinds(browser_page: Any, admin: User) -> None:
    page = browser_page
    some_jobs(admin)
    page.goto("/admin/operations/")
    is_shown(page.locator("#attention").get_by_role("link", name="Every quarter of an hour"))
    is_shown(page.get_by_role("link", name="All synchronizations"))
    shoot(page, "sync-dashboard")
