"""`<progress-feed>` in a real browser, against a real server.

Uses a duplication's page, the first one the element was made for. The jobs run in the
test itself, so that the test decides when something happens.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.urls import reverse
from playwright import sync_api as playwright

from content.synthetic import make_episode
from duplication.models import Duplication
from duplication.services import start_duplication
from operations import events
from tests import needs, processes
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import UserFactory
from tests.processes import ManagedProcess, StartProcess, wait_until

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

Serve = Callable[[], ManagedProcess]
start_process = processes.start_process  # the fixture


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def serve(start_process: StartProcess, port: int) -> Serve:
    """Start the web server, again and again on the same port."""

    def start() -> ManagedProcess:
        process = start_process("runserver", "--noreload", f"127.0.0.1:{port}")
        wait_until(lambda: accepts(port), "the web server listens")
        return process

    return start


@pytest.fixture
def page(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A page of a browser that is logged in. What it complained of is in `page.complaints`."""
    # Playwright keeps an event loop in this thread, where Django then allows no query.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    session = client.cookies[settings.SESSION_COOKIE_NAME]
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=needs.CHROMIUM, args=ARGUMENTS)
        url = f"http://127.0.0.1:{port}"
        context = browser.new_context(base_url=url)
        context.add_cookies([{"name": session.key, "value": session.value, "url": url}])
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "console",
            lambda told: page.complaints.append(told.text) if told.type == "error" else None,
        )
        yield page
        browser.close()
        # That loop had a connection of its own.
        connections.close_all()


@pytest.fixture
def duplication() -> Duplication:
    episode = make_episode(parts=2, items=2, blocks=3)
    return start_duplication(episode_id=episode.pk, requested_by=None).duplication


def open_page(page: Any, duplication: Duplication) -> None:
    page.goto(reverse("admin:duplication_duplication_change", args=[duplication.pk]))
    shows(page, "[data-feed=link]", "Live")


def shows(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    playwright.expect(page.locator(selector)).to_have_text(text, timeout=30_000)


def event_rows(page: Any) -> list[str]:
    rows = page.locator("[data-show=events] tr").all_inner_texts()
    return [" ".join(row.split()) for row in rows]


def test_feed_follows_an_operation_over_a_lost_connection_to_its_end(
    serve: Serve, page: Any, duplication: Duplication
) -> None:
    server = serve()
    open_page(page, duplication)
    bar = page.locator("progress-feed progress")
    assert bar.get_attribute("value") is None
    page.evaluate("document.querySelector('.operation').untouched = true")

    run_stage(duplication, "blocks")
    shows(page, "[data-feed=percent]", "50 %")
    shows(page, "[data-stage=blocks] [data-show=done]", "12")
    shows(page, ".headline [data-show=state]", "In progress")
    shows(page, "[data-feed=announcement]", re.compile(r"Duplication \d+: .*50 %"))
    assert page.complaints == []

    server.kill()
    shows(
        page,
        "[data-feed=link]",
        re.compile(r"Connection lost – .* of \d\d:\d\d:\d\d, trying again…"),
    )
    events.append(duplication, "feedback", payload={"message": "<img src=x onerror=fail()>"})
    run_to_end(duplication)
    assert duplication.status == "completed"
    serve()
    shows(page, ".headline [data-show=state]", "Completed")
    shows(page, "[data-feed=percent]", "100 %")
    shows(page, "[data-feed=link]", "")
    shows(page, "[data-feed=announcement]", re.compile(r"Duplication \d+: Completed, 100 %"))
    copy = page.locator(".buttons a", has_text="Open the copy")
    assert copy.get_attribute("href").endswith(f"/episode/{duplication.new_episode_id}/change/")
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("document.querySelector('.operation').untouched")
    assert all("ERR_CONNECTION_REFUSED" in each for each in page.complaints)

    # What it wrote itself is what the server writes.
    rows = event_rows(page)
    page.reload()
    assert rows == event_rows(page)
    assert any("<img src=x onerror=fail()>" in row for row in rows)


def test_feed_stops_and_says_why_when_the_user_was_logged_out(
    serve: Serve, page: Any, duplication: Duplication
) -> None:
    server = serve()
    open_page(page, duplication)
    Session.objects.all().delete()
    server.kill()
    serve()
    shows(page, "[data-feed=link]", "You are logged out: log in again to watch this.")
