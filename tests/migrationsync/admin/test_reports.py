"""Validation reports: the list and the page."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from migrationsync.models import MigrationValidationReport
from tests.factories.content import UserFactory
from tests.factories.sync import JobFactory, RunFactory
from tests.migrationsync.admin.deciding import REPORTS, as_read
from tests.migrationsync.admin.visiting import (
    LOOK_UP,
    client_of,
    number_of_queries,
    told,
    with_permissions,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    return with_permissions("view_migrationvalidationreport")


def made(**fields: Any) -> MigrationValidationReport:
    now = timezone.now()
    fields.setdefault("run", None)
    fields["run"] = fields["run"] or RunFactory(purpose="validate")
    fields = {
        "entity_type": "offices",
        "validation_type": "data_integrity",
        "source_entity": "dispatch_office",
        "target_entity": "offices",
        "records_validated": 1200,
        "validation_passed": True,
        "discrepancies_found": 0,
        "validation_criteria": {"columns": ["name", "city"], "sample": 100, "strict": True},
        "execution_time_ms": 2_400,
        "generated_at": now,
        "expires_at": now + dt.timedelta(days=7),
        **fields,
    }
    return MigrationValidationReport.objects.create(**fields)


def failed(**fields: Any) -> MigrationValidationReport:
    return made(
        validation_passed=False,
        discrepancies_found=1_301,
        discrepancy_details=[
            {"what": "The target has another name", "count": 1_300, "examples": [17, 18]},
            {"what": "Point to nothing", "count": 1},
        ],
        **fields,
    )


def page_of(report: MigrationValidationReport) -> str:
    return f"{REPORTS}{report.pk}/change/"


def shown(client: Client, query: str = "") -> list[MigrationValidationReport]:
    return list(client.get(f"{REPORTS}?{query}").context["cl"].result_list)


def test_list_says_what_passed_and_what_failed_in_words(browser: Client) -> None:
    made()
    failed(validation_type="completeness_check")
    text = as_read(browser.get(REPORTS))
    assert "offices: data integrity Passed 1,200 2 s" in text
    assert "offices: completeness Failed 1,301 discrepancies" in text


def test_list_is_filtered(browser: Client) -> None:
    good, bad = made(), failed(entity_type="profiles", validation_type="performance_check")
    assert shown(browser, "validation_passed__exact=0") == [bad]
    assert shown(browser, "entity=offices") == [good]
    assert shown(browser, "validation_type__exact=performance_check") == [bad]
    assert shown(browser, f"run={good.run_id}") == [good]


def test_empty_list_says_what_to_do(browser: Client) -> None:
    assert "Nothing has been validated yet." in as_read(browser.get(REPORTS))


def test_page_shows_discrepancies_with_where_to_look_them_up(browser: Client) -> None:
    report = failed()
    response = browser.get(page_of(report))
    assert f'href="{LOOK_UP}?q=17"' in response.text
    text = as_read(response)
    assert "The target has another name 1,300 17 18" in text
    assert "Point to nothing 1 none named" in text
    assert "2,400 ms" in text
    assert "Columns name, city" in text
    assert "Strict yes" in text


def test_page_tells_criteria_and_figures_in_words(browser: Client) -> None:
    report = made(
        validation_type="completeness_check",
        validation_criteria={
            "wrong": {"lost": "no longer in the target"},
            "deleted": "is_gone",
            "columns": {"name": "full_name", "city": "city"},
            "checks": [],
        },
        metadata={"figures": {"mapped": 1_383, "lost": 0}, "rows_per_second": None},
    )
    response = browser.get(page_of(report))
    text = as_read(response)
    assert "What counts as wrong no longer in the target" in text
    assert "Deleted in the source is what has is_gone" in text
    assert "Columns city name: full_name" in text
    assert "Checks none" in text
    assert "Mapped 1,383" in text
    assert "Lost" not in text
    assert "Rows a second not measured" in text
    for raw in ("{", "[]", "None"):
        assert raw not in text.partition("How was validated")[2]


def test_page_names_the_other_reports_of_its_run(browser: Client) -> None:
    report = failed()
    other = made(run=report.run, validation_type="completeness_check")
    made(run=report.run, entity_type="profiles", validation_type="completeness_check")
    response = browser.get(page_of(report))
    assert [each for each, _ in response.context["others"]] == [other, report]


def test_expired_report_is_marked(browser: Client) -> None:
    now = timezone.now()
    report = made(generated_at=now - dt.timedelta(days=8), expires_at=now - dt.timedelta(days=1))
    assert "Expired" in as_read(browser.get(REPORTS))
    assert "Validate again" in as_read(browser.get(page_of(report)))
    fresh = made()
    assert "Expired" not in as_read(browser.get(page_of(fresh)))


def test_queries_do_not_grow_with_what_there_is(browser: Client) -> None:
    report = made()
    few, page = (
        number_of_queries(browser, REPORTS),
        number_of_queries(browser, page_of(report)),
    )
    for number in range(20):
        failed(entity_type=f"entity-{number}", run=report.run)
        failed()
    assert number_of_queries(browser, REPORTS) == few
    assert number_of_queries(browser, page_of(report)) == page


def test_one_sees_those_of_ones_own_jobs(browser: Client) -> None:
    owner = UserFactory(is_staff=True, permissions=["add_synchronizationjob"])
    own = made(run=RunFactory(job=JobFactory(requested_by=owner)))
    foreign = made()
    client = client_of(owner)
    assert shown(client) == [own]
    response = client.get(page_of(foreign))
    assert response.url == REPORTS
    assert "isn't yours to see" in told(response)[0]
    assert len(shown(with_permissions("view_migrationvalidationreport"))) == 2


def test_others_are_refused() -> None:
    stranger = with_permissions("view_episode")
    assert stranger.get(REPORTS).status_code == 403
    assert stranger.get(page_of(made())).status_code == 403
