"""Our pages in a real Chromium, against a real server.

`browser` opens tabs for users; when a test ends it fails for whatever a tab complained of:
an error on the console (a breach of the Content-Security-Policy is one), an exception, an
answer with a server's error. `shoot` leaves pictures in tests/artefacts. The jobs run in
the test itself, so that the test decides when something happens.
"""

from __future__ import annotations

import datetime as dt
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone
from playwright import sync_api as playwright

from operations.models import ClusterHeartbeat
from tests import needs, processes
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
ARTEFACTS = Path(__file__).parent.parent / "artefacts"
WIDTHS = (360, 1600)
SCHEMES = ("light", "dark")
PATIENCE_MS = 30_000

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


class Browser:
    """Tabs, each of a user, with the server behind them running."""

    def __init__(self, chromium: Any, url: str) -> None:
        self._chromium = chromium
        self._url = url
        self._contexts: dict[tuple[int, bool], Any] = {}
        self._allowed: list[str] = []
        self.complaints: list[str] = []

    def tab(self, user: User, path: str = "", *, scripts: bool = True) -> Any:
        """A new tab, logged in as `user`; tabs of one user share a session."""
        page = self._context(user, scripts).new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._told)
        page.on("response", self._answered)
        if path:
            page.goto(path)
        return page

    def allow(self, *patterns: str) -> None:
        """Complaints that belong to the test."""
        self._allowed += patterns

    def allow_lost_connections(self) -> None:
        """The test is going to take the server away."""
        self.allow("ERR_CONNECTION_", "ERR_EMPTY_RESPONSE", "WebSocket connection to .* failed")

    def unexpected(self) -> list[str]:
        return [
            told
            for told in self.complaints
            if not any(re.search(pattern, told) for pattern in self._allowed)
        ]

    def _context(self, user: User, scripts: bool) -> Any:
        if (user.pk, scripts) not in self._contexts:
            client = Client()
            client.force_login(user)
            session = client.cookies[settings.SESSION_COOKIE_NAME]
            context = self._chromium.new_context(base_url=self._url, java_script_enabled=scripts)
            context.set_default_timeout(PATIENCE_MS)
            cookie = {"name": session.key, "value": session.value, "url": self._url}
            context.add_cookies([cookie])
            self._contexts[user.pk, scripts] = context
        return self._contexts[user.pk, scripts]

    def _told(self, told: Any) -> None:
        if told.type == "error":
            self.complaints.append(f"{told.text} ({told.location.get('url', '')})")

    def _answered(self, response: Any) -> None:
        if response.status >= 500:
            self.complaints.append(f"{response.status} {response.url}")


@pytest.fixture
def worker(transactional_db: None) -> ClusterHeartbeat:
    """As far as pages know, who runs the jobs: alive until the test says otherwise."""
    now = timezone.now()
    return ClusterHeartbeat.objects.create(
        cluster="the test",
        hostname="here",
        pid=1,
        workers=1,
        started_at=now,
        beat_at=now + dt.timedelta(days=1),
    )


@pytest.fixture
def browser(
    worker: ClusterHeartbeat, serve: Serve, port: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Browser]:
    # Playwright keeps an event loop in this thread, where Django then allows no query.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with playwright.sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=needs.CHROMIUM, args=ARGUMENTS)
        browser = Browser(chromium, f"http://127.0.0.1:{port}")
        yield browser
        unexpected = browser.unexpected()
        chromium.close()
        # That loop had a connection of its own.
        connections.close_all()
    assert unexpected == []


@pytest.fixture
def admin(transactional_db: None) -> User:
    return UserFactory(username="ada", is_staff=True, is_superuser=True)


@pytest.fixture
def browser_page(browser: Browser, admin: User) -> Any:
    """A tab of an administrator's."""
    return browser.tab(admin)


def shows(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    playwright.expect(page.locator(selector)).to_have_text(text, timeout=PATIENCE_MS)


def appears(page: Any, text: str) -> None:
    playwright.expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def button(page: Any, verb: str) -> Any:
    return page.locator(f"[data-verb={verb}]")


def is_shown(locator: Any, expected: bool = True) -> None:
    playwright.expect(locator).to_be_visible(visible=expected, timeout=PATIENCE_MS)


def shoot(page: Any, name: str) -> None:
    """A picture in each width and colour scheme; nothing may be wider than the window."""
    ARTEFACTS.mkdir(exist_ok=True)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=ARTEFACTS / f"{name}-{scheme}-{width}.png", full_page=True)
            fits(page, width)


def fits(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{page.url} is {wide} px wide in a window of {width} px"
