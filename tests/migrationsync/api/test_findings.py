"""What comparisons found, over HTTP: looked at, previewed, decided, undone."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from migrationsync.dispatch.models import Office
from migrationsync.entities import entities
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
    SynchronizationRun,
)
from migrationsync.source import SourceUnreachable
from tests.factories.content import UserFactory
from tests.factories.sync import DifferentialFactory, RunFactory
from tests.migrationsync.api.conftest import client_of
from tests.migrationsync.syncing import sync, sync_to_end

pytestmark = pytest.mark.django_db
URL = "/api/v1/sync"


def url(kind, key="", *parts):
    return "/".join([URL, kind, *([str(key)] if key else []), *parts])


def pointers(response):
    assert response.status_code == 400, response.content
    return [each["pointer"] for each in response.json()["errors"]]


def conflict(response):
    assert response.status_code == 409, response.content
    assert response["Content-Type"] == "application/problem+json"
    return response.json()


def results(response):
    assert response.status_code == 200, response.content
    return response.json()["results"]


@pytest.fixture
def job(dispatch, owner):
    """Of five offices one was changed in the source, one in both, and one is missing."""
    dispatch.add_offices(1, 2, 3, 4)
    job = dispatch.job(by=owner, job_name="Offices", entities_to_sync=["offices"])
    sync(job, "load")
    dispatch.change(1, 2)
    target(2).update(name="Hamburg")
    dispatch.add_offices(5)
    sync(job, "compare")
    return job


def target(key):
    mapped = LegacyIdMapping.objects.filter(entity_type="offices", legacy_id=key)
    return Office.objects.filter(pk__in=mapped.values("uuid_id"))


def differential(kind):
    return DataDifferential.objects.get(kind=kind)


def record(key):
    return DifferentialRecord.objects.get(legacy_id=key)


@pytest.mark.parametrize(
    ("permission", "seen"),
    [
        ("view_synchronizationjob", []),
        ("view_datadifferential", ["differentials", "record"]),
        ("view_appliedchange", ["changes"]),
    ],
)
def test_everybodys_findings_are_seen_with_their_own_permission(job, permission, seen):
    AppliedChange.objects.create(
        run=job.latest_run, entity_type="offices", legacy_id=1, action="overwrite", side="target"
    )
    viewer = client_of(UserFactory(permissions=[permission]))
    found = [kind for kind in ("differentials", "changes") if results(viewer.get(url(kind)))]
    if viewer.get(url("records", record(1).pk)).status_code == 200:
        found.append("record")
    assert sorted(found) == sorted(seen)


# --- looking --------------------------------------------------------------------------


def test_list_is_without_ids_and_the_detail_with_them(api, job):
    listed = results(api.get(url("differentials")))
    assert sorted(each["kind"] for each in listed) == ["both_changed", "missing", "source_changed"]
    assert all(each["job"] == str(job.pk) and "legacy_ids" not in each for each in listed)
    [found] = [each for each in listed if each["kind"] == "both_changed"]
    detail = api.get(found["url"]).json()
    assert detail["legacy_ids"] == [2]
    assert detail["comparison_criteria"]["compared_by"] == "checksum"
    assert found.items() <= detail.items()


def test_list_is_filtered(api, owner, job):
    DifferentialFactory(checkpoint__run__job__requested_by=owner, entity_type="profiles")
    DifferentialFactory(checkpoint__run__job__requested_by=UserFactory())
    run = job.latest_run

    def number(**query):
        return len(results(api.get(url("differentials"), query)))

    assert number() == 4
    assert number(job=job.pk) == number(run=run.pk) == number(entity="offices") == 3
    assert number(kind="missing") == number(comparison_type="missing_records") == 1
    assert number(source_table="dispatch_office", criteria='{"sides": ["target"]}') == 3
    assert number(resolved="true") == number(superseded="true") == 0
    assert number(resolved="false", superseded="false", created_after="2026-01-01T00:00Z") == 4
    assert api.get(url("differentials"), {"criteria": "5"}).status_code == 400


def test_criteria_are_read_from_their_index(api, owner):
    DifferentialFactory(checkpoint__run__job__requested_by=owner)
    viewer = client_of(UserFactory(permissions=["view_datadifferential"]))
    with CaptureQueriesContext(connection) as captured:
        results(viewer.get(url("differentials"), {"criteria": '{"compared_by": "checksum"}'}))
    [sql] = [each["sql"] for each in captured if "data_differentials" in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "idx_differential_criteria" in plan


def test_records_come_in_pages_along_their_ids(api, owner):
    found = DifferentialFactory(
        checkpoint__run__job__requested_by=owner, legacy_ids=list(range(1, 6))
    )
    seen, page = [], url("differentials", found.pk, "records") + "?page_size=2"
    while page:
        answer = api.get(page).json()
        seen += [each["legacy_id"] for each in answer["results"]]
        page = answer["next"]
    assert seen == [1, 2, 3, 4, 5]
    [one] = results(api.get(url("differentials", found.pk, "records"), {"legacy_id": 3}))
    assert (one["state"], one["strategy"]) == ("open", "")


@pytest.mark.parametrize("path", ["differentials", "checkpoints", "runs", "records", "changes"])
def test_lists_ask_as_many_queries_for_ten_as_for_one(api, owner, path):
    def make(number):
        made = DifferentialFactory.create_batch(number, checkpoint__run__job__requested_by=owner)
        for each in made:
            run = each.checkpoint.run
            DifferentialRecord.objects.filter(differential=each).update(decided_by=owner)
            first = each.records.get()
            AppliedChange.objects.create(
                run=run, record=first, entity_type="offices", side="target", applied_by=owner
            )

    def queries():
        one = DataDifferential.objects.first()
        page = {
            "records": url("differentials", one.pk, "records"),
            "runs": url("jobs", one.checkpoint.sync_job_id, "runs"),
        }.get(path, url(path))
        with CaptureQueriesContext(connection) as captured:
            number = len(results(api.get(page)))
        return number, len(captured)

    make(1)
    one = DataDifferential.objects.get()
    queries()  # the user's permissions are read once
    first = queries()
    make(9)
    DifferentialRecord.objects.update(differential=one)
    for number, run in enumerate(SynchronizationRun.objects.all(), start=100):
        run.job, run.number, run.outcome = one.checkpoint.sync_job, number, "completed"
        run.started_by = owner
        run.save()
    assert (first[0], queries()) == (1, (10, first[1]))


def test_record_shows_both_sides_what_was_last_synced_and_what_can_be_decided(api, job):
    found = api.get(url("records", record(2).pk)).json()
    explanation = found["explanation"]
    names = [explanation[side]["name"] for side in ("legacy", "last_synced", "current")]
    assert names == ["Celle", "Bremen", "Hamburg"]
    assert explanation["differing"] == ["name"]
    assert explanation["legacy"]["monthly_rent"] == "812.50"
    assert (found["kind"], found["entity_type"]) == ("both_changed", "offices")
    assert found["strategies"] == ["source_wins", "target_wins", "skip"]
    assert found["token"]


def test_record_while_the_source_is_away_says_so_and_when_to_look_again(api, job, monkeypatch):
    def away(*arguments, **options):
        raise SourceUnreachable("The legacy database doesn't answer. See that it runs.")

    monkeypatch.setattr("migrationsync.source.Source.check", away)
    response = api.get(url("records", record(2).pk))
    assert response.status_code == 503
    assert response["Retry-After"] == "30"
    assert response.json()["code"] == "source_unreachable"
    assert "See that it runs" in response.json()["detail"]


def test_somebody_elses_are_not_found_and_who_may_only_look_cant_decide(job):
    user = UserFactory()
    stranger = client_of(user)
    paths = [
        url("differentials", differential("missing").pk),
        url("differentials", differential("missing").pk, "records"),
        url("records", record(2).pk),
        url("runs", job.latest_run_id),
        url("checkpoints", job.jobs.first().pk),
    ]
    assert [stranger.get(path).status_code for path in paths] == [404] * len(paths)
    chosen = {"records": [record(2).pk], "strategy": "skip"}
    for verb in ("preview", "resolve"):
        response = stranger.post(url("differentials", verb), chosen, format="json")
        assert pointers(response) == ["/records"]

    for model in ("datadifferential", "differentialrecord", "synchronizationjob"):
        user.user_permissions.add(Permission.objects.get(codename=f"view_{model}"))
    viewer = client_of(type(user).objects.get(pk=user.pk))
    assert [viewer.get(path).status_code for path in paths[:4]] == [200] * 4
    assert viewer.post(url("differentials", "preview"), chosen, format="json").status_code == 200
    decided = viewer.post(
        url("records", record(2).pk, "decide"), {"strategy": "skip", "token": "x"}, format="json"
    )
    resolved = viewer.post(url("differentials", "resolve"), chosen, format="json")
    assert (decided.status_code, resolved.status_code) == (403, 403)


# --- choosing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "pointer"),
    [
        ({}, ""),
        ({"records": [1], "differentials": ["00000000-0000-0000-0000-000000000000"]}, ""),
        ({"records": []}, "/records"),
        ({"records": [0]}, "/records"),
        ({"records": list(range(1, 1002))}, "/records"),
        ({"records": [4711]}, "/records"),
        ({"differentials": ["00000000-0000-0000-0000-000000000000"]}, "/differentials"),
        ({"filter": {"job": "00000000-0000-0000-0000-000000000000"}}, "/filter/job"),
        ({"filter": {}}, "/filter/job"),
        ({"records": [4711], "strategy": "manual_review"}, "/strategy"),
    ],
)
def test_preview_of_what_isnt_there_says_where(api, chosen, pointer):
    response = api.post(
        url("differentials", "preview"), {"strategy": "skip", **chosen}, format="json"
    )
    [found] = pointers(response)
    assert found.startswith(pointer)


def test_preview_of_two_jobs_is_refused(api, owner):
    ids = [DifferentialFactory(checkpoint__run__job__requested_by=owner).pk for _ in range(2)]
    response = api.post(
        url("differentials", "preview"), {"differentials": ids, "strategy": "skip"}, format="json"
    )
    assert pointers(response) == ["/differentials"]
    assert "one at a time" in response.json()["detail"]


def test_preview_says_what_would_change_and_changes_nothing(api, job):
    chosen = {"records": [record(2).pk], "strategy": "source_wins"}
    response = api.post(url("differentials", "preview"), chosen, format="json")
    assert response.status_code == 200, response.content
    found = response.json()
    assert found["actions"] == {"overwrite": 1}
    [example] = found["examples"]
    assert example["changes"]["name"] == {"from": "Hamburg", "to": "Celle"}
    assert (example["legacy_id"], found["is_over_budget"]) == (2, False)
    assert target(2).get().name == "Hamburg"
    assert record(2).state == "open"


def test_preview_with_a_strategy_that_doesnt_fit_is_a_conflict(api, job):
    chosen = {"differentials": [differential("missing").pk], "strategy": "target_wins"}
    response = api.post(url("differentials", "preview"), chosen, format="json")
    assert conflict(response)["code"] == "cannot_decide"


def test_all_of_a_filter_leaves_out_what_the_strategy_doesnt_fit(api, job):
    chosen = {"filter": {"job": job.pk}, "strategy": "target_wins"}
    found = api.post(url("differentials", "preview"), chosen, format="json").json()
    assert (found["actions"], found["left_out"]) == ({"accept": 2}, {"missing": 1})
    assert [each["legacy_id"] for each in found["examples"]] == [1, 2]

    response = api.post(url("differentials", "resolve"), chosen, format="json")
    assert response.status_code == 202, response.content
    sync_to_end(job)
    assert [record(key).state for key in (1, 2, 5)] == ["resolved", "resolved", "open"]
    # Nothing is left that it fits.
    again = api.post(url("differentials", "resolve"), chosen, format="json")
    assert "choose source_wins or skip" in conflict(again)["detail"]


def test_findings_of_what_is_no_longer_declared_say_so(api, job, monkeypatch):
    shown, chosen = record(2), {"filter": {"job": job.pk}, "strategy": "skip"}
    monkeypatch.setattr(entities, "declared", [])
    decision = {"strategy": "skip", "token": "x"}
    for response in (
        api.get(url("records", shown.pk)),
        api.post(url("records", shown.pk, "decide"), decision, format="json"),
        api.post(url("differentials", "preview"), chosen, format="json"),
        api.post(url("differentials", "resolve"), chosen, format="json"),
    ):
        found = conflict(response)
        assert found["code"] == "unknown_entity"
        assert "no entity “offices”" in found["detail"]
        assert "declare it again" in found["detail"]
    changed = api.patch(url("jobs", job.pk), {"job_name": "Other"}, format="json")
    assert pointers(changed) == ["/entities_to_sync"], changed.content


# --- resolving ------------------------------------------------------------------------


def test_resolve_all_of_a_kind_is_accepted_and_done_by_a_run(api, job):
    chosen = {
        "filter": {"job": job.pk, "entity": "offices", "kind": "source_changed"},
        "strategy": "source_wins",
    }
    response = api.post(url("differentials", "resolve"), chosen, format="json")
    assert response.status_code == 202, response.content
    assert response.json()["purpose"] == "resolve"
    sync_to_end(job)
    assert api.get(response["Location"]).json()["outcome"] == "completed"
    assert target(1).get().name == "Celle"
    assert target(2).get().name == "Hamburg"
    [change] = results(api.get(url("changes"), {"run": response.json()["id"]}))
    assert (change["before"]["name"], change["after"]["name"]) == ("Bremen", "Celle")
    again = api.post(url("differentials", "resolve"), chosen, format="json")
    assert again.status_code == 409


def test_resolve_over_the_delete_budget_asks_and_with_the_number_goes_on(api, dispatch, owner):
    dispatch.add_offices(*range(1, 5))
    job = dispatch.job(by=owner, entities_to_sync=["offices"], max_deletes=1)
    sync(job, "load")
    dispatch.remove(1, 2)
    sync(job, "compare")
    chosen = {"filter": {"job": job.pk}, "strategy": "source_wins"}
    found = conflict(api.post(url("differentials", "resolve"), chosen, format="json"))
    assert (found["code"], found["question"]["deletes"]) == ("over_delete_budget", 2)
    accepted = api.post(
        url("differentials", "resolve"), chosen | {"approved_deletes": 2}, format="json"
    )
    assert accepted.status_code == 202
    sync_to_end(job)
    assert Office.objects.count() == 2


def test_decide_is_done_at_once_and_can_be_undone_once(api, job):
    token = api.get(url("records", record(2).pk)).json()["token"]
    decided = api.post(
        url("records", record(2).pk, "decide"),
        {"strategy": "source_wins", "token": token},
        format="json",
    )
    assert decided.status_code == 200, decided.content
    assert (decided.json()["state"], decided.json()["strategy"]) == ("resolved", "source_wins")
    assert target(2).get().name == "Celle"

    [change] = results(api.get(url("changes"), {"entity": "offices", "undone": "false"}))
    undone = api.post(change["url"] + "/undo")
    assert undone.status_code == 200, undone.content
    assert undone.json()["undone_at"]
    assert target(2).get().name == "Hamburg"
    assert conflict(api.post(change["url"] + "/undo"))["code"] == "cannot_undo"


def test_decide_about_a_record_that_changed_is_refused_with_the_fresh_one(api, job, dispatch):
    token = api.get(url("records", record(2).pk)).json()["token"]
    dispatch.change(2, to="Jena")

    def decide(token):
        return api.post(
            url("records", record(2).pk, "decide"),
            {"strategy": "source_wins", "token": token},
            format="json",
        )

    found = conflict(decide(token))
    assert (found["code"], found["explanation"]["legacy"]["name"]) == ("stale_record", "Jena")
    assert target(2).get().name == "Hamburg"
    assert decide(found["token"]).status_code == 200
    assert target(2).get().name == "Jena"


def test_decide_and_undo_where_the_source_may_not_be_written_are_conflicts(
    api, dispatch, owner, monkeypatch
):
    dispatch.add_offices(1, 2)
    job = dispatch.job(by=owner, entities_to_sync=["offices"], sync_direction="bidirectional")
    sync(job, "load")
    for key in (1, 2):
        target(key).update(name="Hamburg")
    sync(job, "compare")

    def decide(key):
        token = api.get(url("records", record(key).pk)).json()["token"]
        chosen = {"strategy": "target_wins", "token": token}
        return api.post(url("records", record(key).pk, "decide"), chosen, format="json")

    assert decide(1).json()["state"] == "resolved"
    [change] = results(api.get(url("changes")))

    source = connections[dispatch.source.alias]
    read_only = f"file:{source.settings_dict['NAME']}?mode=ro"
    monkeypatch.setitem(source.settings_dict, "NAME", read_only)
    source.close()
    for response in (decide(2), api.post(change["url"] + "/undo")):
        found = conflict(response)
        assert found["code"] == "source_not_writable"
        assert "docs/sync-rights.md" in found["detail"]
    assert record(2).state == "open"
    monkeypatch.undo()
    source.close()
    assert api.post(change["url"] + "/undo").status_code == 200


def test_undo_of_somebody_elses_is_not_found_and_needs_the_right_to_change_the_job(job):
    run = RunFactory(job=job, outcome="completed")
    change = AppliedChange.objects.create(
        run=run, entity_type="offices", legacy_id=1, action="overwrite", side="target"
    )
    user = UserFactory()
    assert client_of(user).post(url("changes", change.pk, "undo")).status_code == 404
    viewer = client_of(UserFactory(permissions=["view_appliedchange"]))
    assert viewer.post(url("changes", change.pk, "undo")).status_code == 403
    run.delete()
    assert viewer.post(url("changes", change.pk, "undo")).status_code == 403
