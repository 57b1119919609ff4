"""Synchronizations over HTTP: made, changed, run, steered, looked at."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ, Schedule
from rest_framework.test import APIClient

from migrationsync.models import SynchronizationJob, SynchronizationRun
from tests.factories.content import UserFactory
from tests.factories.sync import CheckpointFactory, JobFactory, RunFactory
from tests.migrationsync.api.conftest import client_of
from tests.migrationsync.syncing import sync, sync_to_end

pytestmark = pytest.mark.django_db
URL = "/api/v1/sync/jobs"


def url(job, *parts):
    return "/".join([URL, str(job.pk), *parts])


def pointers(response):
    assert response.status_code == 400, response.content
    return [each["pointer"] for each in response.json()["errors"]]


@pytest.fixture
def job(dispatch, owner):
    dispatch.add_offices(1, 2, 3)
    return dispatch.job(by=owner, job_name="Offices", entities_to_sync=["offices"])


@pytest.fixture
def body(dispatch):
    return {
        "job_name": "Nightly",
        "source_alias": dispatch.source.alias,
        "entities_to_sync": ["offices", "profiles"],
        "schedule_config": {"cron": "30 2 * * *"},
        "metadata": {"team": "billing"},
    }


# --- made and changed -----------------------------------------------------------------


def test_create_makes_a_job_of_ones_own_and_tells_where_it_is(api, owner, body):
    response = api.post(URL, body, format="json")
    assert response.status_code == 201, response.content
    job = SynchronizationJob.objects.get()
    assert (job.job_name, job.requested_by, job.metadata) == ("Nightly", owner, {"team": "billing"})
    assert response["Location"] == f"http://testserver{url(job)}"
    found = api.get(response["Location"]).json()
    assert found == response.json()
    assert (found["status"], found["latest_run"], found["stages"]) == ("scheduled", None, [])
    assert found["next_run_at"] is not None
    assert Schedule.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("schedule_config", {"cron": "30 2 * * *", "interval_minutes": 5}, "Takes one of "),
        ("schedule_config", {"interval_minutes": 0}, "interval_minutes: "),
        ("schedule_config", {"cron": "30 2 * * * *"}, "five"),
        ("entities_to_sync", ["offices", 7], "[1]: "),
        ("entities_to_sync", ["ofices"], "Did you mean “offices”?"),
        ("metadata", {"team": ["billing"]}, "team: "),
        ("max_records_per_batch", 0, "1"),
        ("source_alias", "nowhere", "There is no database “nowhere”"),
        ("sync_direction", "sideways", "sideways"),
    ],
)
def test_create_with_what_breaks_a_rule_says_where(api, body, field, value, said):
    response = api.post(URL, body | {field: value}, format="json")
    assert pointers(response) == [f"/{field}"]
    assert said in response.json()["detail"]
    assert not SynchronizationJob.objects.exists()


def test_create_with_a_name_that_is_taken_says_so(api, body):
    JobFactory(job_name="Nightly")
    assert pointers(api.post(URL, body, format="json")) == ["/job_name"]


def test_create_that_breaks_a_rule_over_fields_is_refused(api, body):
    response = api.post(
        URL, body | {"job_type": "scheduled_sync", "schedule_config": {}}, format="json"
    )
    assert pointers(response) == [""]
    assert "needs a schedule" in response.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", {"team": "a\0b"}),
        ("metadata", {"a\0b": 1}),
        ("metadata", {"team": "\ud800"}),
        ("metadata", None),
        ("schedule_config", []),
        ("schedule_config", None),
    ],
)
def test_json_that_the_database_cant_store_is_refused_by_field(api, job, body, field, value):
    new, changed = json.dumps(body | {field: value}), json.dumps({field: value})
    for response in (
        api.post(URL, new, content_type="application/json"),
        api.patch(url(job), changed, content_type="application/json"),
    ):
        assert pointers(response) == [f"/{field}"]


def test_create_without_permission_says_which_is_missing(stranger, body):
    response = stranger.post(URL, body, format="json")
    assert response.status_code == 403
    assert "migrationsync.add_synchronizationjob" in response.json()["detail"]


def test_anything_without_login_is_unauthorized(job):
    assert APIClient().get(url(job)).status_code == 401


def test_patch_changes_what_it_names(api, job):
    response = api.patch(
        url(job), {"max_deletes": 7, "schedule_config": {"interval_minutes": 15}}, format="json"
    )
    assert response.status_code == 200, response.content
    job.refresh_from_db()
    assert (job.max_deletes, job.job_name) == (7, "Offices")
    assert response.json()["next_run_at"] is not None
    assert pointers(api.patch(url(job), {"entities_to_sync": []}, format="json"))


def test_patch_and_delete_while_it_runs_are_conflicts(api, job):
    api.post(url(job, "run"))
    for response in (api.patch(url(job), {"max_deletes": 7}, format="json"), api.delete(url(job))):
        assert response.status_code == 409
        assert response.json()["code"] == "already_running"
        assert "wait for its end, or cancel it" in response.json()["detail"]


def test_delete_removes_the_job(api, job):
    assert api.delete(url(job)).status_code == 204
    assert not SynchronizationJob.objects.exists()


# --- whose it is ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("get", ()),
        ("patch", ()),
        ("delete", ()),
        ("post", ("run",)),
        ("post", ("pause",)),
        ("post", ("approve-deletes",)),
        ("get", ("schedule",)),
        ("get", ("runs",)),
        ("get", ("events",)),
    ],
)
def test_somebody_elses_is_not_found_and_who_may_only_look_cant_change(job, method, parts):
    user = UserFactory()
    assert getattr(client_of(user), method)(url(job, *parts)).status_code == 404
    user.user_permissions.add(Permission.objects.get(codename="view_synchronizationjob"))
    viewer = client_of(type(user).objects.get(pk=user.pk))
    expected = 200 if method == "get" else 403
    assert getattr(viewer, method)(url(job, *parts)).status_code == expected
    job.refresh_from_db()
    assert job.latest_run is None


def test_list_has_ones_own_and_filters_them(api, owner, job):
    other = JobFactory(
        requested_by=owner,
        entities_to_sync=["profiles"],
        schedule_config={"interval_minutes": 5},
        metadata={"team": "billing", "ticket": 4711},
    )
    JobFactory(job_name="Somebody else's")

    def ids(**query):
        response = api.get(URL, query)
        assert response.status_code == 200, response.content
        return [each["id"] for each in response.json()["results"]]

    assert ids() == [str(other.pk), str(job.pk)]
    assert ids(entity="offices") == ids(recurs="false") == [str(job.pk)]
    assert ids(recurs="true") == ids(metadata='{"ticket": 4711}') == [str(other.pk)]
    assert ids(status="running") == []
    assert ids(page_size=1) == [str(other.pk)]


@pytest.mark.parametrize("value", ["[1]", "billing", '{"a": "\\u0000"}'])
def test_list_with_metadata_that_is_no_object_is_refused(api, value):
    assert pointers(api.get(URL, {"metadata": value})) == ["/metadata"]


def test_list_with_a_forged_cursor_is_not_found(api):
    # r=0&p=nonsense
    assert api.get(URL, {"cursor": "cj0wJnA9bm9uc2Vuc2U="}).status_code == 404


@pytest.mark.parametrize("key", ["nonsense", "4711", "00000000-0000-0000-0000-000000000000"])
def test_unknown_ids_are_not_found(api, key):
    for path in ("jobs", "runs", "checkpoints", "differentials", "changes", "reports", "records"):
        assert api.get(f"/api/v1/sync/{path}/{key}").status_code == 404, path


def test_list_asks_as_many_queries_for_ten_as_for_one(api, owner, job):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert api.get(URL).status_code == 200
        return len(captured)

    run = RunFactory(job=job, started_by=owner)
    SynchronizationJob.objects.update(latest_run=run)
    queries()  # the user's permissions are read once
    one = queries()
    for each in RunFactory.create_batch(9, job__requested_by=owner, started_by=owner):
        SynchronizationJob.objects.filter(pk=each.job_id).update(latest_run=each)
    assert queries() == one


# --- run ------------------------------------------------------------------------------


def test_run_is_accepted_and_its_location_tells_what_came_of_it(api, owner, job):
    response = api.post(url(job, "run"), {"purpose": "load"}, format="json")
    assert response.status_code == 202, response.content
    run = SynchronizationRun.objects.get()
    assert response["Location"] == f"http://testserver/api/v1/sync/runs/{run.pk}"
    assert response["Retry-After"] == "2"
    assert OrmQ.objects.count() == 1
    assert (run.purpose, run.entities, run.started_by) == ("load", ["offices"], owner)

    sync_to_end(job)
    found = api.get(response["Location"]).json()
    assert (found["outcome"], found["counts"]["inserted"]) == ("completed", 3)
    detail = api.get(url(job)).json()
    assert detail["latest_run"] == found
    assert detail["total_records_synced"] == 3
    [stage] = detail["stages"]
    assert (stage["stage"], stage["done"]) == ("load-offices", 3)
    names = [each["name"] for each in api.get(url(job, "events")).json()["results"]]
    assert names[-1] == "sync.completed"


def test_run_again_answers_the_open_one_and_another_purpose_is_a_conflict(api, job):
    first = api.post(url(job, "run"), {"purpose": "compare"}, format="json")
    again = api.post(url(job, "run"), {"purpose": "compare"}, format="json")
    assert (again.status_code, again["Location"]) == (200, first["Location"])
    other = api.post(url(job, "run"), {"purpose": "load"}, format="json")
    assert (other.status_code, other.json()["code"]) == (409, "already_running")


def test_run_with_a_key_is_one_run_however_often_it_is_sent(api, job):
    def post(key, **body):
        return api.post(url(job, "run"), body, format="json", headers={"Idempotency-Key": key})

    first = post("a", purpose="compare")
    sync_to_end(job)
    again = post("a", purpose="compare")
    assert (again.status_code, again["Location"]) == (200, first["Location"])
    reused = post("a", purpose="load")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert post("b", purpose="compare").status_code == 202
    assert pointers(post("x" * 256)) == ["/Idempotency-Key"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"purpose": "explode"}, "/purpose"),
        ({"purpose": "resolve"}, "/purpose"),
        ({"entities": ["profiles"]}, "/entities"),
        ({"entities": []}, "/entities"),
        ({"purpose": "load", "since": "2026-03-01T00:00:00Z"}, "/since"),
        ({"purpose": "compare", "since": "yesterday"}, "/since"),
        ({"purpose": "sync", "source_only": True}, "/source_only"),
        ({"purpose": "compare", "types": ["data_integrity"]}, "/types"),
        (
            {"purpose": "compare", "since": "2026-03-01T00:00:00Z", "source_only": True},
            "/source_only",
        ),
        ({"purpose": "validate", "types": ["luck"]}, "/types"),
    ],
)
def test_run_with_bad_input_says_where(api, job, body, pointer):
    [found] = pointers(api.post(url(job, "run"), body, format="json"))
    assert found.startswith(pointer)
    assert not SynchronizationRun.objects.exists()


def test_run_keeps_what_it_was_asked_for(api, job):
    body = {"purpose": "compare", "entities": ["offices"], "since": "2026-03-01T01:00:00+01:00"}
    response = api.post(url(job, "run"), body, format="json")
    assert response.status_code == 202, response.content
    since = dt.datetime.fromisoformat(response.json()["options"]["since"])
    assert since == dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def test_pause_resume_cancel_and_control_of_many(api, job):
    api.post(url(job, "run"), {"purpose": "load"}, format="json")
    assert api.post(url(job, "pause")).json()["display_status"] == "paused"
    assert api.post(url(job, "resume")).json()["status"] == "running"
    [outcome] = api.post(
        f"{URL}/control", {"verb": "cancel", "ids": [str(job.pk)]}, format="json"
    ).json()
    assert outcome == {"id": str(job.pk), "display_status": "cancelled", "refusal": ""}
    assert api.post(url(job, "retry")).status_code == 409


def test_approve_deletes_without_a_question_is_a_conflict_and_with_one_goes_on(api, job):
    refused = api.post(url(job, "approve-deletes"))
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_run")

    api.post(url(job, "run"), {"purpose": "load"}, format="json")
    api.post(url(job, "pause"))
    question = {"deletes": 5, "entities": {"offices": {"deletes": 5, "records": 9}}}
    SynchronizationRun.objects.update(question=question)
    assert api.get(url(job)).json()["latest_run"]["question"] == question
    answered = api.post(url(job, "approve-deletes"))
    assert answered.status_code == 200, answered.content
    assert answered.json()["status"] == "running"
    assert SynchronizationRun.objects.get().approved_deletes == 5


# --- schedule, runs, checkpoints ------------------------------------------------------


def test_schedule_in_words_with_the_next_five_runs(api, job):
    nothing = api.get(url(job, "schedule")).json()
    assert (nothing["in_words"], nothing["next_runs"]) == ("", [])
    api.patch(url(job), {"schedule_config": {"cron": "30 2 * * *"}}, format="json")
    found = api.get(url(job, "schedule")).json()
    assert "02:30" in found["in_words"]
    assert len(found["next_runs"]) == 5
    job.refresh_from_db()
    assert dt.datetime.fromisoformat(found["next_runs"][0]) == job.next_run_at


def test_schedule_preview_of_what_isnt_saved(api):
    def post(config):
        return api.post("/api/v1/sync/schedule-preview", {"schedule_config": config}, format="json")

    found = post({"interval_minutes": 15}).json()
    assert found["in_words"] == "Every 15 minutes"
    assert len(found["next_runs"]) == 5
    for wrong in ({"cron": "61 2 * * *"}, {"cron": "x"}, {"every": 5}, [], {"interval_minutes": 0}):
        assert pointers(post(wrong)) == ["/schedule_config"], wrong


def test_runs_of_a_job_newest_first_and_filtered(api, dispatch, job):
    loaded, compared = sync(job, "load"), sync(job, "compare")
    found = api.get(url(job, "runs")).json()["results"]
    assert [each["id"] for each in found] == [str(compared.pk), str(loaded.pk)]
    [only] = api.get(url(job, "runs"), {"purpose": "load", "is_open": "false"}).json()["results"]
    assert only["number"] == 1
    assert api.get(url(job, "runs"), {"purpose": "x"}).status_code == 400


def test_checkpoints_are_filtered(api, job):
    run = sync(job, "load")
    CheckpointFactory()  # somebody else's
    path = "/api/v1/sync/checkpoints"

    def found(**query):
        response = api.get(path, query)
        assert response.status_code == 200, response.content
        return [each["stage"] for each in response.json()["results"]]

    mine = ["load-offices"]
    assert found() == mine
    assert found(job=job.pk, run=run.pk, entity="offices", status="completed") == mine
    assert found(operation_type="differential_migration", created_after="2026-01-01T00:00Z") == mine
    assert found(entity="profiles") == found(created_before="2026-01-01T00:00Z") == []
    [one] = api.get(path).json()["results"]
    assert (one["records_processed"], one["records_total"], one["job"]) == (3, 3, str(job.pk))
    assert api.get(one["url"]).json() == one


@pytest.mark.parametrize(
    ("method", "path", "sent", "pointer", "meant"),
    [
        ("patch", "jobs/{job}", {"max_delete": 1}, "/max_delete", "Did you mean “max_deletes”?"),
        ("patch", "jobs/{job}", {"status": "paused"}, "/status", "no such field to be sent"),
        ("post", "jobs", {"job_nam": "x"}, "/job_nam", "Did you mean “job_name”?"),
        ("post", "jobs/{job}/run", {"entity": "offices"}, "/entity", "Did you mean “entities”?"),
        ("post", "schedule-preview", {"cron": "* * * * *"}, "/cron", "schedule_config"),
        ("post", "differentials/preview", {"job": "x"}, "/job", "There are: differentials,"),
        ("post", "differentials/resolve", {"approve": 2}, "/approve", "approved_deletes"),
        (
            "post",
            "differentials/preview",
            {"filter": {"job": "{job}", "kinds": "missing"}, "strategy": "skip"},
            "/filter/kinds",
            "Did you mean “kind”?",
        ),
        ("post", "quarantine/retry", {"ids": [1], "entity": "x"}, "/entity", "There are: ids."),
    ],
)
def test_field_that_there_isnt_is_refused_and_nothing_is_done(
    job, method, path, sent, pointer, meant
):
    api = client_of(UserFactory(is_superuser=True))
    text = json.dumps(sent).replace("{job}", str(job.pk))
    url = f"/api/v1/sync/{path.format(job=job.pk)}"
    response = getattr(api, method)(url, text, content_type="application/json")
    assert response.status_code == 400, response.content
    told = {each["pointer"]: each["detail"] for each in response.json()["errors"]}
    assert meant in told[pointer]
    before = job.max_deletes
    job.refresh_from_db()
    assert (job.max_deletes, job.runs.count()) == (before, 0)
    assert SynchronizationJob.objects.count() == 1
