from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, transaction

from migrationsync.models import MigrationValidationReport
from tests.factories.sync import RunFactory
from tests.migrationsync.models.refusing import (
    assert_accepted,
    assert_database_refuses,
    assert_refused,
    problems,
)

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
DETAILS = [{"what": "missing", "count": 3, "examples": [1, 2, 3]}]


def make_report(**fields):
    return MigrationValidationReport.objects.create(
        **{
            "run": fields.pop("run", None) or RunFactory(),
            "entity_type": "offices",
            "validation_type": "data_integrity",
            "source_entity": "dispatch_office",
            "target_entity": "offices",
            "records_validated": 3,
            "validation_passed": False,
            "discrepancies_found": 3,
            "discrepancy_details": DETAILS,
            "validation_criteria": {"compared_by": "checksum"},
            "execution_time_ms": 5,
            "generated_at": NOW,
            "expires_at": NOW + dt.timedelta(days=1),
            **fields,
        }
    )


@pytest.fixture
def report():
    return make_report()


def test_what_passed_has_no_discrepancies(report) -> None:
    assert_refused(
        report,
        "What passed has no discrepancies.",
        "validation_reports_passed_without_discrepancies",
        validation_passed=True,
    )


def test_what_passed_may_have_found_none(report) -> None:
    assert_accepted(report, validation_passed=True, discrepancies_found=0, discrepancy_details=[])


def test_discrepancies_have_details(report) -> None:
    assert_refused(
        report,
        "Discrepancies need their details.",
        "validation_reports_discrepancies_have_details",
        discrepancy_details=[],
    )


@pytest.mark.parametrize("after", [dt.timedelta(0), -dt.timedelta(seconds=1)])
def test_report_expires_after_it_was_made(report, after) -> None:
    assert_refused(
        report,
        "A report must expire after it was made.",
        "validation_reports_expires_later",
        expires_at=NOW + after,
    )


def test_report_took_time(report) -> None:
    assert_database_refuses(report, "validation_reports_took_time", execution_time_ms=0)
    report.execution_time_ms = 0
    assert problems(report) == {
        "execution_time_ms": ["Ensure this value is greater than or equal to 1."]
    }


@pytest.mark.parametrize("field", ["discrepancies_found", "records_validated"])
def test_figures_are_not_negative(report, field) -> None:
    assert_database_refuses(report, "check", **{field: -1})
    setattr(report, field, -1)
    assert field in problems(report)


def test_type_is_one_of_the_originals(report) -> None:
    report.validation_type = "speed"
    assert list(problems(report)) == ["validation_type"]


def test_run_has_one_report_of_each_type_and_entity(report) -> None:
    with pytest.raises(IntegrityError, match="validation_reports_once"), transaction.atomic():
        make_report(run=report.run)
    make_report(run=report.run, entity_type="profiles")
    make_report(run=report.run, validation_type="performance_check")
    make_report()
