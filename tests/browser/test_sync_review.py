"""Differences and decisions in a real browser: the review by keys, the dry run, the undo."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright import sync_api as playwright

from migrationsync.dispatch.legacy.tables import OFFICE, PROFILE
from migrationsync.dispatch.models import Office
from migrationsync.models import (
    AppliedChange,
    DifferentialRecord,
    MigrationValidationReport,
    SynchronizationJob,
)
from migrationsync.source import Source
from tests import needs
from tests.browser.conftest import PATIENCE_MS, Browser, Serve, appears, is_shown, shoot, shows
from tests.factories.sync import RunFactory
from tests.migrationsync.admin.deciding import (
    CHANGES,
    DIFFERENTIALS,
    REPORTS,
    differential,
    differing,
    page_of,
    record,
    review_of,
    target,
)
from tests.migrationsync.syncing import Dispatch, sync, sync_to_end

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

HEADING = "[data-review-heading]"
STATUS = "[data-review-status]"


@pytest.fixture(autouse=True)
def server(serve: Serve, settings: Any) -> Any:
    return serve()


@pytest.fixture
def dispatch(transactional_db: None) -> Iterator[Dispatch]:
    """Legacy tables beside the others: so the server's process sees them too."""
    made = Dispatch(Source("default"))
    yield made
    for table in (PROFILE, OFFICE):
        made.legacy(f"DROP TABLE IF EXISTS {table.name}")


@pytest.fixture
def job(dispatch: Dispatch) -> SynchronizationJob:
    return differing(dispatch)


def open_review(page: Any, job: SynchronizationJob, kind: str = "") -> None:
    page.goto(review_of(job, record=record(kind).pk) if kind else review_of(job))
    playwright.expect(page.locator(HEADING)).to_be_focused(timeout=PATIENCE_MS)


def heads(page: Any, text: str) -> None:
    playwright.expect(page.locator(HEADING)).to_contain_text(text, timeout=PATIENCE_MS)


def press(page: Any, key: str, *, leads_to: str) -> None:
    """The record that the key leads to is shown, and its heading has the focus."""
    page.keyboard.press(key)
    heads(page, leads_to)
    playwright.expect(page.locator(HEADING)).to_be_focused(timeout=PATIENCE_MS)


def said(page: Any, text: str) -> None:
    shows(page, STATUS, re.compile(re.escape(text)))


def state(key: int) -> str:
    return DifferentialRecord.objects.get(legacy_id=key, differential__superseded_at=None).state


# --- by keyboard only ---------------------------------------------------------------------


def test_review_is_walked_through_and_decided_by_keys(
    browser_page: Any, dispatch: Dispatch
) -> None:
    page = browser_page
    job = dispatch.job(entities_to_sync=["offices"])
    dispatch.add_offices(1, 2, 3, 4)
    sync(job, "load")
    dispatch.change(1, 2, 3, 4)
    target(1, 2, 3, 4).update(city="Verden")
    sync(job, "compare")

    open_review(page, job)
    heads(page, "offices 1 1 of 4 open")
    press(page, "j", leads_to="offices 2 2 of 4 open")
    press(page, "k", leads_to="offices 1 1 of 4 open")
    appears(page, "The source changed name; the target changed city.")

    press(page, "1", leads_to="offices 2 1 of 3 open")
    assert target(1).get().name == "Celle"
    said(page, "offices 1 The source wins")
    press(page, "2", leads_to="offices 3 1 of 2 open")
    assert target(2).get().city == "Verden"
    press(page, "3", leads_to="offices 4 1 of 1 open")
    assert (state(1), state(2), state(3)) == ("resolved", "resolved", "skipped")
    press(page, "1", leads_to="Nothing is left to decide")
    assert target(4).get().name == "Celle"

    press(page, "u", leads_to="offices 4")
    assert target(4).get().name == "Bremen"
    assert AppliedChange.objects.exclude(undone_at=None).count() == 1
    said(page, "offices 4: undone")
    assert state(4) == "open"
    press(page, "2", leads_to="Nothing is left to decide")
    assert target(4).get().city == "Verden"


def test_delete_asks_before_it_is_done(browser_page: Any, job: SynchronizationJob) -> None:
    page = browser_page
    open_review(page, job, "deleted_in_source")
    page.keyboard.press("1")
    dialog = page.locator("dialog[open]")
    is_shown(dialog)
    playwright.expect(dialog).to_contain_text("Delete offices 4 from the target?")
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    is_shown(dialog, expected=False)
    playwright.expect(page.locator(HEADING)).to_be_focused()
    assert target(4).exists()
    assert state(4) == "open"

    page.keyboard.press("1")
    playwright.expect(page.get_by_role("button", name="No, keep it")).to_be_focused()
    page.keyboard.press("Enter")
    is_shown(dialog, expected=False)
    page.keyboard.press("1")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    said(page, "offices 4 The source wins")
    assert not target(4).exists()
    assert state(4) == "resolved"


def test_stale_decision_shows_the_fresh_record(browser_page: Any, job: SynchronizationJob) -> None:
    page = browser_page
    open_review(page, job, "both_changed")
    target(3).update(name="Somebody was faster")
    page.keyboard.press("1")
    appears(page, "The record changed since you looked")
    appears(page, "Somebody was faster")
    said(page, "Nothing was decided. The record changed since you looked")
    playwright.expect(page.locator(HEADING)).to_be_focused()
    assert target(3).get().name == "Somebody was faster"
    assert state(3) == "open"
    page.keyboard.press("1")
    said(page, "offices 3 The source wins")
    assert target(3).get().name == "Celle"


def test_keys_rest_while_somebody_types_and_where_they_are_not_for(
    browser_page: Any, job: SynchronizationJob
) -> None:
    page = browser_page
    open_review(page, job, "missing")
    field = page.locator("#nav-filter")
    field.focus()
    page.keyboard.type("13j")
    playwright.expect(field).to_have_value("13j")
    page.locator(HEADING).focus()
    page.keyboard.press("2")
    said(page, "The target never had such a row")
    page.keyboard.press("Control+1")
    page.keyboard.press("x")
    playwright.expect(page.locator("[data-key='2']")).to_be_disabled()
    assert set(DifferentialRecord.objects.values_list("state", flat=True)) == {"open"}


def test_legacy_side_away_keeps_the_place_until_it_is_back(
    browser_page: Any, dispatch: Dispatch, job: SynchronizationJob
) -> None:
    page = browser_page
    open_review(page, job, "target_changed")
    before = page.locator(f"{HEADING} small").inner_text()
    dispatch.legacy(f"ALTER TABLE {OFFICE.name} RENAME TO away")
    page.keyboard.press("1")
    appears(page, "The legacy side can't be shown.")
    shows(page, f"{HEADING} small", before)
    assert state(2) == "open"
    dispatch.legacy(f"ALTER TABLE away RENAME TO {OFFICE.name}")
    page.get_by_role("link", name="Try again").press("Enter")
    is_shown(page.locator(".three"))
    page.keyboard.press("1")
    said(page, "offices 2 The source wins")


def test_server_away_loses_nothing(
    browser: Browser, admin: User, job: SynchronizationJob, server: Any, serve: Serve
) -> None:
    browser.allow_lost_connections()
    page = browser.tab(admin)
    open_review(page, job, "source_changed")
    server.kill()
    page.keyboard.press("1")
    appears(page, "The server doesn't answer. Nothing on this page is lost")
    is_shown(page.locator(".three"))
    serve()
    page.keyboard.press("1")
    said(page, "offices 1 The source wins")
    assert target(1).get().name == "Celle"


def test_review_works_without_javascript(
    browser: Browser, admin: User, job: SynchronizationJob
) -> None:
    page = browser.tab(admin, review_of(job, record=record("both_changed").pk), scripts=False)
    page.get_by_role("button", name="The source wins").click()
    appears(page, "The source wins:")
    assert target(3).get().name == "Celle"
    page.get_by_role("button", name="Undo").click()
    appears(page, "offices 3: undone")
    page.goto(review_of(job, record=record("deleted_in_source").pk))
    page.get_by_role("button", name="The source wins").click()
    appears(page, "Delete offices 4 from the target?")
    page.get_by_role("button", name="Delete it").click()
    appears(page, "offices 4")
    assert not target(4).exists()


# --- many at once ---------------------------------------------------------------------------


def test_chosen_differentials_are_resolved_after_a_dry_run(
    browser_page: Any, job: SynchronizationJob
) -> None:
    page = browser_page
    page.goto(f"{DIFFERENTIALS}?kind__exact=source_changed")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label="The source wins…")
    page.get_by_role("button", name="Go").click()
    appears(page, "Nothing is changed yet. 1 record of")
    assert target(1).get().name == "Bremen"
    page.get_by_role("button", name="Resolve 1 record").click()
    appears(page, "resolves what you chose")
    sync_to_end(job)
    assert target(1).get().name == "Celle"


def test_ticked_records_over_the_budget_need_their_number_approved(
    browser_page: Any, job: SynchronizationJob
) -> None:
    page = browser_page
    SynchronizationJob.objects.update(max_deletes=0)
    page.goto(page_of(differential("deleted_in_source")))
    page.get_by_label("Choose 4").press("Space")
    page.get_by_role("button", name="The source wins…").press("Enter")
    appears(page, "Over the budget")
    page.get_by_role("button", name="Resolve 1 record").press("Enter")
    # The browser asks for the tick.
    playwright.expect(page.locator("#approved-deletes:invalid")).to_be_focused()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Resolve 1 record").press("Enter")
    appears(page, "resolves what you chose")
    sync_to_end(job)
    assert not target(4).exists()


def test_change_is_undone_from_its_page(browser_page: Any, job: SynchronizationJob) -> None:
    page = browser_page
    open_review(page, job, "source_changed")
    page.keyboard.press("1")
    said(page, "offices 1 The source wins")
    page.goto(f"{CHANGES}?q=1")
    page.get_by_role("link", name="offices 1").click()
    page.get_by_role("link", name="Undo…").click()
    page.get_by_role("button", name="Undo it").click()
    appears(page, "what was done is undone")
    assert target(1).get().name == "Bremen"


# --- how they look --------------------------------------------------------------------------


def reported(job: SynchronizationJob) -> MigrationValidationReport:
    """What a validation of offices said: three passed, one didn't, and all of it is old."""
    run = RunFactory(job=job, number=90, purpose="validate", outcome="completed")
    made = timezone.now() - dt.timedelta(days=9)
    for name, label in MigrationValidationReport.Type.choices:
        failed = name == "relationship_integrity"
        report = MigrationValidationReport.objects.create(
            run=run,
            entity_type="offices",
            validation_type=name,
            source_entity="dispatch_office",
            target_entity="offices",
            records_validated=1_204_331,
            validation_passed=not failed,
            discrepancies_found=1_306 if failed else 0,
            discrepancy_details=[
                {
                    "what": "Points to a profile that isn't there",
                    "count": 1_304,
                    "examples": [17, 204, 1_993, 20_417, 20_418],
                },
                {"what": f"{label}: the mapping has two of it", "count": 2, "examples": [8, 9]},
            ]
            if failed
            else [],
            validation_criteria={"columns": ["name", "city", "phone"], "sample": 1000},
            execution_time_ms=83_412,
            generated_at=made,
            expires_at=made + dt.timedelta(days=7),
        )
        if failed:
            found = report
    return found


def test_pages_look_as_they_should(
    browser_page: Any, dispatch: Dispatch, job: SynchronizationJob
) -> None:
    page = browser_page
    long_text = "We moved twice in this year, and nobody told the dispatch office. " * 40
    dispatch.change(3, column="city", to="Celle-Vorwerk an der alten Ziegelei")
    Office.objects.filter(name="Only in the target").update(city="Verden")
    page.goto(DIFFERENTIALS)
    shoot(page, "sync-differentials")
    page.goto(page_of(differential("both_changed")))
    shoot(page, "sync-differential")
    open_review(page, job, "both_changed")
    shoot(page, "sync-review")
    open_review(page, job, "missing")
    shoot(page, "sync-review-missing")
    open_review(page, job, "deleted_in_source")
    page.keyboard.press("1")
    is_shown(page.locator("dialog[open]"))
    shoot(page, "sync-review-delete")
    page.keyboard.press("Escape")
    open_review(page, job, "source_changed")
    page.keyboard.press("1")
    said(page, "offices 1 The source wins")
    shoot(page, "sync-review-decided")
    dispatch.change(7, column="opened", to="2019-01-01")
    dispatch.change(7, column="phone", to=long_text[:39])
    open_review(page, job, "missing")
    shoot(page, "sync-review-problem")
    page.goto(review_of(job, kind="quarantined"))
    shoot(page, "sync-review-empty")
    SynchronizationJob.objects.update(max_deletes=0)
    chosen = "&".join(
        f"differential={differential(kind).pk}"
        for kind in ("deleted_in_source", "both_changed", "target_changed", "missing")
    )
    page.goto(f"{DIFFERENTIALS}resolve/?strategy=source_wins&{chosen}")
    shoot(page, "sync-dry-run")
    page.goto(CHANGES)
    shoot(page, "sync-changes")
    page.locator("#result_list a").first.click()
    appears(page, "Before and after")
    shoot(page, "sync-change")
    report = reported(job)
    page.goto(REPORTS)
    shoot(page, "sync-reports")
    page.goto(f"{REPORTS}{report.pk}/change/")
    shoot(page, "sync-report")
