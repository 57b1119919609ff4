"""Starting runs from the page and from the list, and answering the question about deletes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from migrationsync.kind import SYNC
from migrationsync.models import SynchronizationJob, SynchronizationRun
from migrationsync.resolving.budget import in_words
from migrationsync.services import running as services
from operations import control, verbs
from tests.factories.content import UserFactory
from tests.factories.sync import JobFactory, RunFactory
from tests.migrationsync.admin.visiting import JOBS, client_of, told, with_permissions

pytestmark = pytest.mark.django_db

QUESTION = {"deletes": 1200, "entities": {"offices": {"deletes": 1200, "records": 2000}}}


@pytest.fixture
def user() -> Any:
    return UserFactory(is_staff=True, permissions=["add_synchronizationjob"])


@pytest.fixture
def browser(user: Any) -> Client:
    return client_of(user)


def page_of(job: SynchronizationJob) -> str:
    return f"{JOBS}{job.pk}/change/"


def start(client: Client, job: SynchronizationJob, name: str = "run_now") -> Any:
    return client.post(f"{JOBS}{job.pk}/start/{name}/")


def purposes(job: SynchronizationJob) -> list[str]:
    return [str(each.purpose) for each in job.runs.order_by("number")]


def asking(user: Any) -> SynchronizationJob:
    """A job whose run stands still before its deletes."""
    job = JobFactory(requested_by=user, job_name="Nightly")
    run = RunFactory(job=job, purpose="sync", question=QUESTION)
    SynchronizationJob.objects.filter(pk=job.pk).update(latest_run=run, status="paused")
    return SynchronizationJob.objects.get(pk=job.pk)


# --- from the page ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "job_type", "purpose"),
    [
        ("run_now", "manual_sync", "sync"),
        ("run_now", "differential_migration", "load"),
        ("dry_run", "manual_sync", "compare"),
        ("validate", "manual_sync", "validate"),
    ],
)
def test_start_begins_a_run_for_what_was_pressed(
    browser: Client, user: Any, name: str, job_type: str, purpose: str
) -> None:
    job = JobFactory(requested_by=user, job_type=job_type)
    assert f"start/{name}/" in browser.get(page_of(job)).text
    response = start(browser, job, name)
    assert response.url == page_of(job)
    assert purposes(job) == [purpose]
    assert job.runs.get().started_by == user
    assert "run 1 was started" in told(response)[0]
    assert "data-start" not in browser.get(page_of(job)).text


def test_start_twice_is_one_run_and_of_another_purpose_is_refused(
    browser: Client, user: Any
) -> None:
    job = JobFactory(requested_by=user)
    start(browser, job)
    assert "is at it already: sync, run 1." in told(start(browser, job))[-1]
    assert "wait for its end" in told(start(browser, job, "validate"))[-1]
    assert purposes(job) == ["sync"]


def test_start_is_refused_to_who_may_only_look() -> None:
    job = JobFactory()
    viewer = with_permissions("view_synchronizationjob")
    assert start(viewer, job).status_code == 403
    assert viewer.get(f"{JOBS}{job.pk}/start/run_now/").status_code == 405
    assert purposes(job) == []


def test_start_of_what_there_isnt_is_not_found(browser: Client, user: Any) -> None:
    assert start(browser, JobFactory(requested_by=user), "run_never").status_code == 404


# --- from the list ------------------------------------------------------------------------


def act(client: Client, action: str, *jobs: SynchronizationJob) -> Any:
    chosen = [str(job.pk) for job in jobs]
    return client.post(JOBS, {"action": f"{action}_selected", "_selected_action": chosen})


def test_action_runs_the_chosen_and_tells_the_refused(browser: Client, user: Any) -> None:
    first, second, third = (JobFactory(job_name=f"{n}", requested_by=user) for n in "abc")
    services.start_run(second, by=user, purpose="validate")
    response = act(browser, "dry_run", first, second)
    assert (purposes(first), purposes(second), purposes(third)) == (["compare"], ["validate"], [])
    assert "“a”: run 1 was started" in told(response)[0]
    assert "b is at it already" in told(response)[1]


def test_action_runs_nothing_of_somebody_elses() -> None:
    job = JobFactory()
    response = act(with_permissions("view_synchronizationjob"), "run_now", job)
    assert "somebody else's" in told(response)[0]
    assert purposes(job) == []


def test_action_names_the_one_that_was_refused(browser: Client, user: Any) -> None:
    job = JobFactory(requested_by=user, job_name="Nightly")
    SynchronizationJob.objects.filter(pk=job.pk).update(entities_to_sync=["ofices"])
    other = JobFactory(requested_by=user, job_name="Hourly")
    services.start_run(other, by=user, purpose="validate")
    messages = told(act(browser, "run_now", job, other))
    assert len(messages) == 2
    assert "Hourly" in messages[0]
    assert "Nightly" in messages[1]


def test_cancel_says_that_the_schedule_goes_too(browser: Client, user: Any) -> None:
    once = JobFactory(requested_by=user)
    often = JobFactory(
        requested_by=user,
        schedule_config={"interval_minutes": 15},
        next_run_at=timezone.now() + dt.timedelta(minutes=5),
    )
    for job in (once, often):
        services.start_run(job, by=user)
        url = reverse("operation-control", args=["sync", job.pk, "cancel"])
        assert ("Its schedule goes with it" in browser.get(url).text) is job.recurs
    items = act(browser, "cancel", once, often).context["items"]
    assert sorted("Its schedule goes with it" in each for each in items) == [False, True]


def test_action_on_too_many_starts_nothing(
    browser: Client, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "MAX_AT_ONCE", 2)
    jobs = [JobFactory(requested_by=user) for _ in range(3)]
    assert "more than 2 are chosen" in told(act(browser, "run_now", *jobs))[0]
    assert not SynchronizationRun.objects.exists()


def test_action_pauses_the_chosen(browser: Client, user: Any) -> None:
    job = JobFactory(requested_by=user)
    services.start_run(job, by=user)
    act(browser, "pause", job)
    job.refresh_from_db()
    assert job.status == "paused"


# --- its question -------------------------------------------------------------------------


def test_page_shows_the_question_until_it_is_answered(browser: Client, user: Any) -> None:
    job = asking(user)
    assert "It would delete 1,200 of 2,000 offices" in browser.get(page_of(job)).text
    SynchronizationRun.objects.update(approved_deletes=1200)
    assert "It would delete" not in browser.get(page_of(job)).text


def test_job_that_asks_is_among_what_needs_attention_with_its_question(
    browser: Client, user: Any
) -> None:
    job = asking(user)
    paused = JobFactory(requested_by=user)
    SynchronizationJob.objects.filter(pk=paused.pk).update(
        latest_run=RunFactory(job=paused), status="paused"
    )
    question = f"May it delete {', '.join(in_words(QUESTION))}?"
    response = browser.get("/admin/operations/")
    parts = {
        name: [entry.operation.pk for entry in response.context[name].shown]
        for name in ("attention", "running", "recent")
    }
    assert parts == {"attention": [job.pk], "running": [paused.pk], "recent": []}
    assert question in response.text
    listed = browser.get(JOBS).text
    assert listed.count("May it delete") == 1
    assert question in listed
    control.request_cancel(SYNC, job)
    assert "May it delete" not in browser.get(JOBS).text


def test_approve_asks_once_more_and_then_goes_on(browser: Client, user: Any) -> None:
    job = asking(user)
    url = f"{JOBS}{job.pk}/approve/"
    response = browser.get(url)
    assert "Delete 1,200 of 2,000 offices?" in response.text
    assert dict(response.context["fields"]) == {"deletes": "1200"}
    assert SynchronizationRun.objects.get().approved_deletes is None
    response = browser.post(url, {"deletes": "1200"})
    assert "1,200 deletes were approved" in told(response)[0]
    assert SynchronizationRun.objects.get().approved_deletes == 1200
    job.refresh_from_db()
    assert job.status == "running"
    assert "asks nothing now" in told(browser.post(url, {"deletes": "1200"}))[-1]


def test_approve_of_other_deletes_than_were_shown_asks_again(browser: Client, user: Any) -> None:
    job = asking(user)
    response = browser.post(f"{JOBS}{job.pk}/approve/", {"deletes": "3"})
    assert "Delete 1,200 of 2,000 offices?" in response.text
    assert SynchronizationRun.objects.get().approved_deletes is None


def test_approve_is_refused_to_who_may_only_look(user: Any) -> None:
    job = asking(user)
    viewer = with_permissions("view_synchronizationjob")
    assert viewer.post(f"{JOBS}{job.pk}/approve/", {"deletes": "1200"}).status_code == 403
    assert "can approve it" in viewer.get(page_of(job)).text
    assert SynchronizationRun.objects.get().approved_deletes is None
