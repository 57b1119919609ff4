"""`<progress-feed>` in a real browser, against a real server.

Uses a duplication's page, the first one the element was made for.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from playwright import sync_api as playwright

from duplication.models import Duplication
from operations import events
from tests import needs
from tests.browser.conftest import Browser, Serve, shows
from tests.browser.pages import open_page, started
from tests.browser.pages import page_of as page_url
from tests.duplication.driving import run_stage, run_to_end

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]


@pytest.fixture
def duplication() -> Duplication:
    return started()


def event_rows(page: Any) -> list[str]:
    rows = page.locator("[data-show=events] tr").all_inner_texts()
    return [" ".join(row.split()) for row in rows]


def test_feed_follows_an_operation_over_a_lost_connection_to_its_end(
    serve: Serve, browser: Browser, browser_page: Any, duplication: Duplication
) -> None:
    server, page = serve(), browser_page
    page.goto(f"{page_url(duplication)}?events=all")
    shows(page, "[data-feed=link]", "Live")
    shows(page, "[data-feed=percent]", "")
    page.evaluate("document.querySelector('.operation').untouched = true")

    run_stage(duplication, "blocks")
    shows(page, "[data-feed=percent]", "50 %")
    shows(page, ".stages [data-stage=blocks] [data-show=done]", "12")
    shows(page, ".headline [data-show=state]", "In progress")
    shows(page, "[data-feed=announcement]", re.compile(r"Duplication \d+ of episode \d+: .*50 %"))
    assert browser.complaints == []

    browser.allow_lost_connections()
    server.kill()
    shows(
        page,
        "[data-feed=link]",
        re.compile(r"Connection lost – .* of \d\d:\d\d:\d\d, trying again…"),
    )
    shows(page, "[data-feed=announcement]", re.compile("Connection lost, trying again"))
    events.append(duplication, "feedback", payload={"message": "<img src=x onerror=fail()>"})
    run_to_end(duplication)
    assert duplication.status == "completed"
    serve()
    shows(page, ".headline [data-show=state]", "Completed")
    shows(page, "[data-feed=percent]", "100 %")
    shows(page, "[data-feed=link]", "")
    told = re.compile(r"Duplication \d+ of episode \d+: Completed, 100 %")
    shows(page, "[data-feed=announcement]", told)
    copy = page.locator(".buttons a", has_text="Open the copy")
    playwright.expect(copy).to_have_attribute(
        "href", re.compile(f"/episode/{duplication.new_episode_id}/change/$")
    )
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("document.querySelector('.operation').untouched")

    # What it wrote itself is what the server writes.
    rows = event_rows(page)
    page.reload()
    assert rows == event_rows(page)
    assert any("<img src=x onerror=fail()>" in row for row in rows)


def test_feed_stops_and_says_why_when_the_user_was_logged_out(
    serve: Serve, browser: Browser, browser_page: Any, duplication: Duplication
) -> None:
    server, page = serve(), browser_page
    open_page(page, duplication)
    browser.allow_lost_connections()
    Session.objects.all().delete()
    server.kill()
    serve()
    shows(page, "[data-feed=link]", "You are logged out: log in again to watch this.")
