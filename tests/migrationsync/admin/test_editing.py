"""Adding, changing and deleting synchronizations."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from migrationsync.models import SynchronizationJob
from tests.factories.content import UserFactory
from tests.factories.sync import JobFactory, MappingFactory, RunFactory
from tests.migrationsync.admin.visiting import JOBS, client_of, told, with_permissions

pytestmark = pytest.mark.django_db

ADD = f"{JOBS}add/"


@pytest.fixture
def user() -> Any:
    return UserFactory(is_staff=True, permissions=["add_synchronizationjob"])


@pytest.fixture
def browser(user: Any) -> Client:
    return client_of(user)


def given(**fields: Any) -> dict[str, Any]:
    return {
        "job_name": "Nightly",
        "job_type": "manual_sync",
        "source_alias": "default",
        "entities_to_sync": ["offices"],
        "recurs": "",
        "interval_minutes": "",
        "cron": "",
        "sync_direction": "source_to_target",
        "conflict_resolution": "manual",
        "max_records_per_batch": "5000",
        "max_failed_percent": "5",
        "max_deletes": "100",
        "max_deleted_percent": "1",
        **fields,
    }


def errors(response: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in response.context["form"].errors.items()}


def edit(job: SynchronizationJob) -> str:
    return f"{JOBS}{job.pk}/edit/"


# --- adding -------------------------------------------------------------------------------


def test_add_makes_the_job_and_tells_its_next_runs(browser: Client, user: Any) -> None:
    response = browser.post(ADD, given(job_type="scheduled_sync", recurs="cron", cron="30 2 * * *"))
    job = SynchronizationJob.objects.get()
    assert response.url == f"{JOBS}{job.pk}/change/"
    assert (job.requested_by, job.schedule_config) == (user, {"cron": "30 2 * * *"})
    assert (job.source_alias, job.max_records_per_batch) == ("default", 5000)
    assert job.next_run_at is not None
    [message] = told(response)
    assert "“Nightly” was added. At 02:30" in message
    assert message.count("02:30") == 6


def test_form_names_whose_clock_and_shows_the_next_runs(
    browser: Client, user: Any, settings: Any
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    assert "The time zone is Europe/Berlin." in (text := browser.get(ADD).text)
    assert "data-schedule-preview" in text
    assert browser.get(ADD).context["preview"] is None
    job = JobFactory(requested_by=user, schedule_config={"cron": "30 2 * * *"})
    preview = browser.get(edit(job)).context["preview"]
    assert preview.words == "At 02:30, every day (Europe/Berlin)."
    assert [f"{each:%H:%M}" for each in preview.moments] == ["02:30"] * 5
    refused = browser.post(ADD, given(job_name="", recurs="interval", interval_minutes="15"))
    assert refused.context["preview"].words == "Every 15 minutes."
    refused = browser.post(ADD, given(recurs="interval", interval_minutes="x"))
    assert refused.context["preview"] is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"cron": "30 2 * * *"}, "At 02:30, every day (UTC)."),
        ({"interval_minutes": "15"}, "Every 15 minutes."),
        ({"cron": "rubbish"}, "five: minute, hour"),
        ({"cron": "61 2 * * *"}, "no next run"),
        ({"interval_minutes": "0"}, "from 1 to 32,767"),
        ({"interval_minutes": "x" * 200}, "from 1 to 32,767"),
        ({"interval_minutes": "9" * 5_000}, "from 1 to 32,767"),
    ],
)
def test_preview_says_what_a_schedule_means(
    browser: Client, query: dict[str, str], said: str
) -> None:
    response = browser.get(f"{JOBS}schedule-preview/", query)
    assert response.status_code == 200
    assert said in response.text
    assert ("The next runs:" in response.text) is said.endswith(".")


def test_preview_of_nothing_is_empty(browser: Client) -> None:
    assert browser.get(f"{JOBS}schedule-preview/", {"cron": " "}).text.strip() == ""


def test_add_keeps_one_schedule_whatever_else_was_filled_in(browser: Client) -> None:
    browser.post(ADD, given(recurs="interval", interval_minutes="15", cron="30 2 * * *"))
    assert SynchronizationJob.objects.get().schedule_config == {"interval_minutes": 15}


@pytest.mark.parametrize(
    ("wrong", "field", "text"),
    [
        ({"job_name": ""}, "job_name", "required"),
        ({"entities_to_sync": []}, "entities_to_sync", "Choose at least one entity."),
        ({"entities_to_sync": ["ofices"]}, "entities_to_sync", "not one of"),
        ({"job_type": "scheduled_sync"}, "recurs", "needs a schedule"),
        ({"recurs": "interval"}, "interval_minutes", "after how many minutes"),
        ({"recurs": "interval", "interval_minutes": "0"}, "interval_minutes", "greater than"),
        ({"recurs": "cron"}, "cron", "Say when it runs"),
        ({"recurs": "cron", "cron": "61 2 * * *"}, "cron", "61 2 * * *"),
        ({"recurs": "cron", "cron": "every day"}, "cron", "every day"),
        ({"recurs": "cron", "cron": "rubbish"}, "cron", "five: minute, hour"),
        ({"source_alias": "nowhere"}, "source_alias", "not one of"),
        ({"max_records_per_batch": "50001"}, "max_records_per_batch", "50000"),
        ({"max_failed_percent": "101"}, "max_failed_percent", "100"),
    ],
)
def test_add_refuses_at_the_field_that_is_wrong(
    browser: Client, wrong: dict[str, Any], field: str, text: str
) -> None:
    response = browser.post(ADD, given(**wrong))
    assert not SynchronizationJob.objects.exists()
    found = errors(response)
    assert list(found) == [field]
    assert text in found[field][0]


def test_add_refuses_a_name_that_is_taken(browser: Client) -> None:
    JobFactory(job_name="Nightly")
    assert list(errors(browser.post(ADD, given()))) == ["job_name"]


def test_add_offers_entities_behind_what_they_refer_to(browser: Client) -> None:
    rows = browser.get(ADD).context["entity_rows"]
    names = [row.choice.choice_label for row in rows]
    assert names == ["offices", "profiles", "doctors", "patients", "orders", "products"]
    assert (rows[1].source, rows[1].needs) == ("dispatch_profile", ("offices",))


def test_add_begins_with_what_most_jobs_have(browser: Client) -> None:
    form = browser.get(ADD).context["form"]
    assert form["job_type"].value() == "manual_sync"
    assert form["conflict_resolution"].value() == "manual"
    assert form["max_records_per_batch"].value() == 10_000
    assert form["recurs"].value() == ""


def test_add_warns_of_a_parent_that_is_neither_chosen_nor_migrated(browser: Client) -> None:
    def warned(name: str) -> bool:
        response = browser.post(ADD, given(job_name=name, entities_to_sync=["profiles"]))
        return "“offices”" in told(response)[-1]

    assert warned("first")
    MappingFactory(entity_type="offices")
    assert not warned("second")


def test_add_is_for_who_may() -> None:
    viewer = with_permissions("view_synchronizationjob")
    assert viewer.get(ADD).status_code == 403
    assert viewer.post(ADD, given()).status_code == 403
    assert ADD not in viewer.get(JOBS).text


# --- changing -----------------------------------------------------------------------------


def test_change_shows_what_there_is_and_saves_what_is_said(browser: Client, user: Any) -> None:
    job = JobFactory(requested_by=user, schedule_config={"cron": "30 2 * * *"})
    form = browser.get(edit(job)).context["form"]
    assert (form["recurs"].value(), form["cron"].value()) == ("cron", "30 2 * * *")
    browser.post(
        edit(job), given(recurs="interval", interval_minutes="7", entities_to_sync=["offices"])
    )
    job.refresh_from_db()
    assert (job.job_name, job.schedule_config) == ("Nightly", {"interval_minutes": 7})


def test_change_waits_for_the_end_of_a_run(browser: Client, user: Any) -> None:
    job = JobFactory(requested_by=user, job_name="Before")
    SynchronizationJob.objects.filter(pk=job.pk).update(latest_run=RunFactory(job=job, number=3))
    text = browser.get(edit(job)).text
    assert "Run 3 (compare (dry run)) isn&#x27;t over" in text
    assert '<fieldset class="all" disabled>' in text
    assert "Nothing was changed" in told(browser.post(edit(job), given()))[0]
    job.refresh_from_db()
    assert job.job_name == "Before"


def test_change_that_a_run_has_overtaken_says_so(
    browser: Client, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JobFactory(requested_by=user, job_name="Before")
    SynchronizationJob.objects.filter(pk=job.pk).update(latest_run=RunFactory(job=job))
    # The run begins between the page's look and the service's lock.
    monkeypatch.setattr("migrationsync.admin.editing.why_not_now", lambda job: "")
    found = errors(browser.post(edit(job), given()))
    assert "is at it already" in found["__all__"][0]


def test_change_of_somebody_elses_is_refused_to_who_may_only_look() -> None:
    job = JobFactory(job_name="Theirs")
    viewer = with_permissions("view_synchronizationjob")
    assert viewer.get(edit(job)).status_code == 403
    assert viewer.post(edit(job), given()).status_code == 403
    changer = with_permissions("view_synchronizationjob", "change_synchronizationjob")
    assert changer.post(edit(job), given()).status_code == 302
    job.refresh_from_db()
    assert job.job_name == "Nightly"


# --- deleting -----------------------------------------------------------------------------


def test_delete_asks_first_and_keeps_a_job_that_runs(browser: Client, user: Any) -> None:
    job = JobFactory(requested_by=user, job_name="Nightly")
    url = f"{JOBS}{job.pk}/remove/"
    assert "Delete Nightly?" in browser.get(url).text
    run = RunFactory(job=job)
    SynchronizationJob.objects.filter(pk=job.pk).update(latest_run=run)
    assert "can't be deleted now" in told(browser.post(url))[0]
    assert SynchronizationJob.objects.exists()
    SynchronizationJob.objects.filter(pk=job.pk).update(latest_run=None)
    run.delete()
    browser.post(url)
    assert not SynchronizationJob.objects.exists()
