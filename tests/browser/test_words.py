"""The browser says what the server says: `words.js` against `operations.watching`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from operations import watching
from operations.models import Event
from operations.stages import label
from tests import needs
from tests.browser.conftest import Serve

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

SECONDS = [0, 0.4, 1, 59.9, 60, 61, 200, 3_599, 3_600, 7_505, 86_399, 86_400, 273_600]
NAMES = ["in_progress", "pause_requested", "x"]
EVENTS = [
    ("progress", {"done": 4000, "total": 9_000_000, "amount": 1000, "elapsed_ms": 1200}),
    ("progress", {"done": 4000, "total": None, "amount": 0, "elapsed_ms": 3}),
    ("feedback", {"message": "blocks copied", "amount": 1}),
    ("feedback", {"message": "blocks copied", "amount": 1234}),
    ("feedback", {"message": "nothing", "amount": 0}),
    ("pause_requested", {"by": "ada"}),
    ("pause_requested", {"by": ""}),
    ("run_requested", {"by": "ada", "message": "run 3, load"}),
    ("started", {"started_at": "2030-01-01"}),
    ("failed", {"error_code": "x", "message": "it broke: <b>"}),
]


def in_browser(page: Any, script: str, argument: Any) -> Any:
    return page.evaluate(
        f"async (given) => {{ const words = await import('/static/operations/words.js');"
        f" return given.map((each) => {script}); }}",
        argument,
    )


def test_words_are_the_same_in_both_languages(serve: Serve, browser_page: Any) -> None:
    serve()
    browser_page.goto("/admin/")
    durations = in_browser(browser_page, "words.duration(each)", SECONDS)
    assert durations == [watching.duration(each) for each in SECONDS]
    assert in_browser(browser_page, "words.label(each)", NAMES) == list(map(label, NAMES))
    moments = [timezone.now() - dt.timedelta(seconds=each + 0.5) for each in SECONDS if each < 60]
    moments += [timezone.now() - dt.timedelta(days=each) for each in (1.01, 3.5)]
    agos = in_browser(browser_page, "words.ago(each)", [each.isoformat() for each in moments])
    assert [each.split()[-1] for each in agos] == [
        watching.ago(each).split()[-1] for each in moments
    ]
    assert agos[-2:] == ["1 d ago", "3 d ago"]
    told = [Event(kind="toy", name=f"toy.{name}", payload=payload) for name, payload in EVENTS]
    messages = in_browser(
        browser_page,
        "words.message(each)",
        [{"name": each.name, "payload": each.payload} for each in told],
    )
    assert messages == [row.message for row in watching.event_rows(told, [])]
