"""By entity, over HTTP: declarations, quarantine, mappings, reports."""

from __future__ import annotations

import datetime as dt
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from migrationsync.models import LegacyIdMapping, MigrationValidationReport, QuarantinedRow
from migrationsync.source import SourceUnreachable
from tests.factories.content import UserFactory
from tests.factories.sync import MappingFactory, QuarantinedRowFactory, RunFactory
from tests.migrationsync.api.conftest import client_of
from tests.migrationsync.syncing import sync

pytestmark = pytest.mark.django_db
URL = "/api/v1/sync"


def pointers(response):
    assert response.status_code == 400, response.content
    return [each["pointer"] for each in response.json()["errors"]]


def results(response):
    assert response.status_code == 200, response.content
    return response.json()["results"]


@pytest.fixture
def keeper():
    return client_of(
        UserFactory(
            permissions=[
                "view_quarantinedrow",
                "change_quarantinedrow",
                "view_legacyidmapping",
            ]
        )
    )


@pytest.mark.parametrize(
    "path", ["quarantine", "mappings?uuid=x", "mappings/statistics", "entities"]
)
def test_what_belongs_to_no_job_needs_a_permission_and_says_which(stranger, path):
    response = stranger.get(f"{URL}/{path}")
    assert response.status_code == 403
    assert "(migrationsync.view_" in response.json()["detail"]


def test_entities_in_the_order_of_their_dependencies(api):
    response = api.get(f"{URL}/entities")
    found = {each["name"]: each for each in response.json()}
    assert list(found)[:2] == ["offices", "profiles"]
    profiles = found["profiles"]
    assert profiles["depends_on"] == ["offices"]
    assert (profiles["source_table"], profiles["script"]) == (
        "dispatch_profile",
        "profile-migration.ts",
    )
    assert {"field": "office", "column": "office_id", "entity": "offices"} in profiles["columns"]
    for each in found.values():
        assert each["is_reversible"] == (not each["refusals"])


# --- quarantine -----------------------------------------------------------------------


@pytest.fixture
def refused(dispatch):
    """Two offices that couldn't be brought over; the first one was mended since."""
    dispatch.add_offices(1, 2)
    dispatch.change(1, 2, column="active", to="?")
    sync(dispatch.job(entities_to_sync=["offices"], max_failed_percent=100), "load")
    dispatch.change(1, column="active", to="Y")
    return list(QuarantinedRow.objects.order_by("legacy_id"))


def test_quarantine_is_listed_and_filtered(keeper, refused):
    listed = results(keeper.get(f"{URL}/quarantine"))
    assert [each["legacy_id"] for each in listed] == [1, 2]
    [reason] = listed[0]["reasons"]
    assert reason["column"] == "active"
    assert keeper.get(listed[0]["url"]).json() == listed[0]
    [one] = results(keeper.get(f"{URL}/quarantine", {"entity": "offices", "legacy_id": 2}))
    assert one == listed[1]
    assert results(keeper.get(f"{URL}/quarantine", {"resolved": "true"})) == []
    assert len(results(keeper.get(f"{URL}/quarantine", {"resolved": "false", "page_size": 1}))) == 1


def test_quarantine_asks_as_many_queries_for_ten_as_for_one(keeper):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            results(keeper.get(f"{URL}/quarantine"))
        return len(captured)

    QuarantinedRowFactory()
    queries()  # the user's permissions are read once
    one = queries()
    QuarantinedRowFactory.create_batch(9)
    assert queries() == one


def test_retry_brings_over_what_was_mended(keeper, refused, dispatch):
    body = {"ids": [each.pk for each in refused]}
    response = keeper.post(f"{URL}/quarantine/retry", body, format="json")
    assert response.status_code == 200, response.content
    assert (response.json()["inserted"], response.json()["quarantined"]) == (1, 1)
    [still] = results(keeper.get(f"{URL}/quarantine", {"resolved": "false"}))
    assert (still["legacy_id"], still["attempts"]) == (2, 2)
    again = keeper.post(f"{URL}/quarantine/retry", body | {"ids": [refused[0].pk]}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "cannot_run")


def test_retry_while_the_source_is_away_says_so(keeper, refused, dispatch, monkeypatch):
    def away(*arguments, **options):
        raise SourceUnreachable("The legacy database doesn't answer.")

    monkeypatch.setattr("migrationsync.source.Source.check", away)
    body = {"ids": [refused[0].pk]}
    response = keeper.post(f"{URL}/quarantine/retry", body, format="json")
    assert (response.status_code, response.json()["code"]) == (503, "source_unreachable")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/ids"),
        ({"ids": []}, "/ids"),
        ({"ids": list(range(1, 1002))}, "/ids"),
        ({"ids": [4711]}, "/ids"),
    ],
)
def test_retry_with_bad_input_says_where(keeper, body, pointer):
    assert pointers(keeper.post(f"{URL}/quarantine/retry", body, format="json")) == [pointer]


def test_retry_needs_the_right_to_change(refused):
    viewer = client_of(UserFactory(permissions=["view_quarantinedrow"]))
    response = viewer.post(f"{URL}/quarantine/retry", {"ids": [refused[0].pk]}, format="json")
    assert response.status_code == 403


# --- mappings -------------------------------------------------------------------------


def test_mapping_is_looked_up_both_ways_and_never_listed(keeper):
    mapping = MappingFactory(legacy_id=7)
    MappingFactory(entity_type="profiles", legacy_id=7)
    [by_key] = keeper.get(f"{URL}/mappings", {"entity": "offices", "legacy_id": 7}).json()
    [by_uuid] = keeper.get(f"{URL}/mappings", {"uuid": mapping.uuid_id}).json()
    assert by_key == by_uuid
    assert (by_key["uuid"], by_key["validation_status"]) == (str(mapping.uuid_id), "pending")
    assert keeper.get(f"{URL}/mappings", {"uuid": uuid4()}).json() == []
    for query in ({}, {"entity": "offices"}, {"legacy_id": 7}):
        assert pointers(keeper.get(f"{URL}/mappings", query)) == [""]
    assert pointers(keeper.get(f"{URL}/mappings", {"uuid": "nonsense"})) == ["/uuid"]


@pytest.mark.parametrize("query", [{"uuid": uuid4()}, {"entity": "offices", "legacy_id": 7}])
def test_mapping_is_looked_up_by_an_index(keeper, query):
    LegacyIdMapping.objects.bulk_create(MappingFactory.build_batch(1_000))
    with CaptureQueriesContext(connection) as captured:
        assert keeper.get(f"{URL}/mappings", query).status_code == 200
    [sql] = [each["sql"] for each in captured if "legacy_id_mappings" in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE legacy_id_mappings")
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "legacy_id_mappings_" in plan
    assert "Seq Scan" not in plan


def test_statistics_tell_how_the_cache_does(keeper):
    found = keeper.get(f"{URL}/mappings/statistics").json()
    assert set(found) == {"hits", "misses", "hit_rate", "size", "capacity"}


# --- reports --------------------------------------------------------------------------


def report(run, **fields):
    now = timezone.now()
    return MigrationValidationReport.objects.create(
        **{
            "run": run,
            "entity_type": "offices",
            "validation_type": "data_integrity",
            "source_entity": "dispatch_office",
            "target_entity": "offices",
            "records_validated": 5,
            "validation_passed": True,
            "discrepancies_found": 0,
            "execution_time_ms": 3,
            "generated_at": now,
            "expires_at": now + dt.timedelta(days=30),
            **fields,
        }
    )


def test_reports_are_listed_filtered_and_bounded(api, owner):
    run = RunFactory(job__requested_by=owner, purpose="validate")
    passed = report(run, validation_criteria={"segments": 4})
    before = timezone.now() - dt.timedelta(days=60)
    failed = report(
        run,
        validation_type="completeness_check",
        validation_passed=False,
        discrepancies_found=2,
        discrepancy_details=[{"what": "missing", "count": 2, "examples": [7, 8]}],
        generated_at=before,
        expires_at=before + dt.timedelta(days=30),
    )
    report(RunFactory(purpose="validate"))  # somebody else's

    def ids(**query):
        return [each["id"] for each in results(api.get(f"{URL}/reports", query))]

    assert ids() == [str(failed.pk), str(passed.pk)]
    assert ids(passed="true") == ids(expired="false") == ids(type="data_integrity")
    assert ids(passed="true") == ids(criteria='{"segments": 4}') == [str(passed.pk)]
    assert ids(expired="true", run=run.pk, job=run.job_id, entity="offices") == [str(failed.pk)]
    assert api.get(f"{URL}/reports/{failed.pk}").json()["discrepancies_found"] == 2
    assert pointers(api.get(f"{URL}/reports", {"type": "luck"})) == ["/type"]

    with CaptureQueriesContext(connection) as two:
        ids()
    for entity in ("profiles", "doctors", "patients"):
        report(run, entity_type=entity)
    with CaptureQueriesContext(connection) as five:
        ids()
    assert len(two) == len(five)
