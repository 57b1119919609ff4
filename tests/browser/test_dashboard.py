"""The dashboard in a real browser: what comes, goes and moves while somebody looks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright import sync_api as playwright

from duplication.kind import DUPLICATION
from operations import control
from tests import needs
from tests.browser.conftest import Browser, Serve, button, is_shown, shoot, shows
from tests.browser.pages import DASHBOARD, completed, failed, started, waiting
from tests.duplication.driving import run_stage, run_to_end

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]


@pytest.fixture(autouse=True)
def server(serve: Serve) -> Any:
    return serve()


def row(page: Any, place: str, operation: Any) -> Any:
    return page.locator(f"#{place}-duplication-{operation.pk}")


def test_dashboard_follows_operations_from_their_start_to_their_end(
    browser_page: Any, admin: User
) -> None:
    page = browser_page
    first = started(admin)
    page.goto(DASHBOARD)
    page.evaluate("document.querySelector('.overview').untouched = true")
    is_shown(row(page, "running", first))
    second = started(admin, "Another")
    is_shown(row(page, "running", second))
    run_stage(first, "blocks")
    shows(page, f"#running-duplication-{first.pk} [data-feed=percent]", "50 %")
    run_to_end(first)
    is_shown(row(page, "recent", first))
    playwright.expect(row(page, "running", first)).to_have_count(0)
    control.request_pause(DUPLICATION, second)
    is_shown(row(page, "running", second).locator("[data-verb=resume]"))
    assert page.evaluate("document.querySelector('.overview').untouched")


def test_dashboard_keeps_the_row_that_holds_the_focus(browser_page: Any, admin: User) -> None:
    page = browser_page
    duplication = started(admin)
    page.goto(DASHBOARD)
    shows(page, "[data-page-link]", "Live")
    button(page, "pause").focus()
    run_to_end(duplication)
    is_shown(row(page, "recent", duplication))
    assert page.evaluate("document.activeElement.dataset.verb") == "pause"
    is_shown(page.locator("[data-stale]"))
    # Once the focus has gone elsewhere the row goes, too.
    page.get_by_role("link", name="All duplications").focus()
    playwright.expect(row(page, "running", duplication)).to_have_count(0)
    is_shown(page.locator("[data-stale]"), expected=False)


def test_dashboard_steers_and_comes_back_to_itself(browser_page: Any, admin: User) -> None:
    page = browser_page
    duplication = started(admin)
    page.goto(DASHBOARD)
    button(page, "pause").click()
    shows(page, ".messagelist", re.compile("was asked to pause"))
    assert page.url.endswith(f"{DASHBOARD}#duplication-{duplication.pk}")
    shows(page, f"#running-duplication-{duplication.pk} [data-show=state]", "Paused")


def test_dashboard_comes_back_to_the_row_that_was_steered(browser_page: Any, admin: User) -> None:
    page = browser_page
    page.set_viewport_size({"width": 1440, "height": 500})
    duplications = [started(admin, f"Number {number}") for number in range(8)]
    page.goto(DASHBOARD)
    shows(page, "[data-page-link]", "Live")
    row(page, "running", duplications[0]).locator("[data-verb=pause]").focus()
    assert page.evaluate("scrollY") > 0

    page.keyboard.press("Enter")
    shows(page, ".messagelist", re.compile("was asked to pause"))
    focused = page.evaluate("document.activeElement.closest('li')?.id")
    assert focused == f"running-duplication-{duplications[0].pk}"
    assert page.evaluate("scrollY") > 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.verb") == "resume"


def test_dashboard_tells_a_refusal_where_it_is_seen(browser: Browser, admin: User) -> None:
    duplication = started(admin)
    page = browser.tab(admin, DASHBOARD, scripts=False)
    run_to_end(duplication)
    button(page, "pause").click()
    shows(page, ".messagelist", re.compile("completed"))
    assert page.url.endswith(DASHBOARD)


def test_dashboard_says_that_the_connection_is_lost_and_back(
    browser: Browser, browser_page: Any, admin: User, server: Any, serve: Serve
) -> None:
    page = browser_page
    first, second = started(admin), started(admin, "Another")
    page.goto(DASHBOARD)
    shows(page, "[data-page-link]", "Live")
    browser.allow_lost_connections()
    server.kill()
    shows(page, "[data-page-link]", re.compile("Connection lost – .*, trying again…"))
    # Two rows have lost theirs; it is said once.
    spoken = page.locator("[data-feed=announcement]").all_inner_texts()
    assert len([each for each in spoken if "Connection lost" in each]) == 1
    run_to_end(first)
    serve()
    shows(page, "[data-page-link]", re.compile("Live again since"))
    is_shown(row(page, "recent", first))
    is_shown(row(page, "running", second))


def test_dashboard_looks_as_it_should(
    browser_page: Any, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed(admin, "The long way home: a season about trains and who waited for them")
    failed(admin, "Deleted while it was copied")
    waiting(admin, "Waits for the database")
    run_stage(started(admin, "Under way"), "blocks")
    browser_page.goto(DASHBOARD)
    shoot(browser_page, "dashboard")
    browser_page.goto("/admin/")
    shoot(browser_page, "index")


def test_dashboard_without_any_operation_looks_as_it_should(browser_page: Any) -> None:
    browser_page.goto(DASHBOARD)
    shoot(browser_page, "dashboard-empty")
