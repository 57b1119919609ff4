"""The page of an operation in a real browser: steering, the live end, events, who may what."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from playwright import sync_api as playwright

from duplication.kind import DUPLICATION
from duplication.models import Duplication
from operations import control, events
from operations.models import ClusterHeartbeat
from tests import needs
from tests.browser.conftest import Browser, Serve, appears, button, fits, is_shown, shoot, shows
from tests.browser.pages import (
    DASHBOARD,
    LIST,
    completed,
    failed,
    open_page,
    page_of,
    started,
    waiting,
)
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import UserFactory

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

STATE = ".headline [data-show=state]"


@pytest.fixture(autouse=True)
def server(serve: Serve) -> Any:
    return serve()


@pytest.fixture
def duplication(admin: User) -> Duplication:
    return started(admin)


def event_names(page: Any) -> list[str]:
    names: list[str] = page.locator("#event-list [data-cell=name]").all_inner_texts()
    return names


def mark(page: Any, selector: str) -> None:
    """To see later whether it is still the same node."""
    page.eval_on_selector(selector, "node => { node.untouched = true; }")


def is_untouched(page: Any, selector: str) -> bool:
    return bool(page.eval_on_selector(selector, "node => node.untouched === true"))


def test_page_shows_the_end_of_a_copy_without_a_reload(
    browser_page: Any, duplication: Duplication
) -> None:
    page = browser_page
    open_page(page, duplication)
    mark(page, ".operation")
    assert page.locator("#section-rows .state").count() == 0
    run_to_end(duplication)
    shows(page, "#section-rows .state", "Verified")
    shows(page, "#section-rows [data-stage=blocks] [data-label=Copied]", "12")
    # It ends with the copy, and has no progress event of its own.
    shows(page, ".stages [data-stage=verdict] [data-show=left]", "took less than 1 s")
    appears(page, "Open the copy")
    playwright.expect(page.locator("[data-verb]")).to_have_count(0)
    shows(page, STATE, "Completed")
    assert is_untouched(page, ".operation")
    is_shown(page.locator("[data-stale]"), expected=False)


def test_stage_took_as_long_live_as_after_a_reload(
    browser_page: Any, duplication: Duplication
) -> None:
    page, took = browser_page, ".stages [data-stage=parts] [data-show=left]"
    open_page(page, duplication)
    run_stage(duplication, "parts")
    # The next stage's first step is long in coming.
    page.wait_for_timeout(2500)
    run_stage(duplication, "items")
    shows(page, ".stages [data-stage=items] [data-show=done]", "4")
    shows(page, took, "took less than 1 s")
    page.reload()
    shows(page, took, "took less than 1 s")


def test_page_that_waits_says_when_nobody_came_and_when_no_worker_runs(
    browser_page: Any, admin: User, worker: ClusterHeartbeat
) -> None:
    page = browser_page
    duplication = waiting(admin)
    open_page(page, duplication)
    is_shown(page.get_by_text("It looks again at"))
    is_shown(page.get_by_text("No worker is running"), expected=False)
    # As if a minute had gone by: it is told of over the websocket, without an event.
    duplication.refresh_from_db()
    duplication.waiting_until = timezone.now() - dt.timedelta(seconds=20)
    duplication.save()
    with transaction.atomic():
        events.announce_state(duplication)
    is_shown(page.get_by_text("It was to look again at"))
    is_shown(page.get_by_text("It looks again at"), expected=False)
    worker.delete()
    appears(page, "No worker is running,")


@pytest.mark.parametrize("width", [360, 1440])
def test_page_with_a_long_word_is_no_wider_than_the_window(
    browser_page: Any, admin: User, width: int
) -> None:
    page = browser_page
    duplication = started(admin, "A" * 120)
    job = duplication.jobs.get(stage="episode")
    with transaction.atomic():
        message = f"RuntimeError: {'x' * 300} something"
        control.fail(DUPLICATION, job, code="RuntimeError", message=message, trace="y" * 400)
    for path in (page_of(duplication), f"{page_of(duplication)}?events=all", DASHBOARD, LIST):
        page.goto(path)
        fits(page, width)


def test_page_replaces_nothing_that_holds_the_focus_or_a_selection(
    browser_page: Any, duplication: Duplication
) -> None:
    page = browser_page
    open_page(page, duplication)
    button(page, "pause").focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#section-rows table'))")
    mark(page, "[data-verb=pause]")
    mark(page, "#section-rows")
    run_to_end(duplication)
    # It ended, and says that there is more: the button and the selection are where they were.
    shows(page, STATE, "Completed")
    is_shown(page.locator("[data-stale]"))
    assert is_untouched(page, "[data-verb=pause]")
    assert is_untouched(page, "#section-rows")
    assert page.evaluate("document.activeElement.dataset.verb") == "pause"
    assert "Blocks" in page.evaluate("getSelection().toString()")
    page.locator("[data-stale] a").click()
    shows(page, "#section-rows .state", "Verified")


def test_pause_in_one_tab_is_seen_in_the_other(
    browser: Browser, admin: User, duplication: Duplication
) -> None:
    watching, acting = browser.tab(admin), browser.tab(admin)
    open_page(watching, duplication)
    open_page(acting, duplication)
    button(acting, "pause").click()
    # The message is for who acted, although the other tab draws itself anew meanwhile.
    appears(acting, "was asked to pause")
    shows(acting, STATE, "Paused")
    shows(watching, STATE, "Paused")
    is_shown(button(watching, "resume"))
    is_shown(button(watching, "pause"), expected=False)
    appears(watching, "Pause requested")
    shows(watching, "#audit li:last-child .quiet", re.compile("by ada"))
    button(watching, "resume").click()
    shows(acting, STATE, "In progress")
    is_shown(button(acting, "pause"))


def test_retry_from_elsewhere_makes_the_page_live_again(
    browser_page: Any, admin: User, duplication: Duplication
) -> None:
    page, verified = browser_page, ".stages [data-stage=verify] [data-show=done]"
    run_stage(duplication, "drift")
    open_page(page, duplication)
    shows(page, verified, "18")
    job = duplication.jobs.get(stage="verdict")
    with transaction.atomic():
        control.fail(DUPLICATION, job, code="broken", message="It broke.", trace="")
    shows(page, STATE, "Failed")
    appears(page, "It broke.")
    is_shown(button(page, "retry"))
    control.retry(DUPLICATION, duplication, by=admin)
    shows(page, STATE, "In progress")
    # After a bad verdict everything is verified anew.
    shows(page, verified, "0")
    is_shown(page.locator("[data-when=failed]"), expected=False)
    is_shown(button(page, "pause"))
    run_to_end(duplication)
    shows(page, STATE, "Completed")
    shows(page, "[data-feed=percent]", "100 %")
    shows(page, "#section-rows .state", "Verified")


def test_traceback_that_is_being_read_stays_open(
    browser_page: Any, admin: User, duplication: Duplication
) -> None:
    page = browser_page
    open_page(page, duplication)
    job = duplication.jobs.get(stage="episode")
    with transaction.atomic():
        control.fail(DUPLICATION, job, code="broken", message="It broke.", trace="Traceback of it")
    page.locator("#traceback summary").click()
    appears(page, "Traceback of it")
    page.get_by_label("Show").focus()
    events.append(duplication, "noted", payload={"message": "makes the page look again"})
    appears(page, "Makes the page look again")
    duplication.jobs.update(traceback="Another traceback")
    events.append(duplication, "noted", payload={"message": "and again"})
    appears(page, "Another traceback")


def test_page_is_steered_by_keyboard_alone(browser_page: Any, duplication: Duplication) -> None:
    page = browser_page
    open_page(page, duplication)

    def tab_to(verb: str) -> None:
        for _ in range(200):  # past the links to every model
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.verb") == verb:
                return
        pytest.fail(f"the {verb} button is not reached with the Tab key")

    tab_to("pause")
    page.keyboard.press("Enter")
    shows(page, STATE, "Paused")
    tab_to("resume")
    page.keyboard.press("Enter")
    shows(page, STATE, "In progress")
    tab_to("cancel")
    page.keyboard.press("Space")
    appears(page, "Stops for good")
    page.locator("button.danger").focus()
    page.keyboard.press("Enter")
    shows(page, STATE, "Cancelled")


def test_status_line_speaks_of_stages_quarters_and_the_end_only(
    browser_page: Any, duplication: Duplication
) -> None:
    page = browser_page
    open_page(page, duplication)
    page.evaluate(
        """() => {
            const line = document.querySelector("[data-feed=announcement]");
            window.spoken = [];
            new MutationObserver(() => window.spoken.push(line.textContent.split(": ")[1]))
                .observe(line, { childList: true, characterData: true, subtree: true });
        }"""
    )
    run_stage(duplication, "parts")
    events.append(duplication, "feedback", payload={"message": "nothing to be said"})
    run_to_end(duplication)
    shows(page, STATE, "Completed")
    spoken = page.evaluate("window.spoken")
    assert spoken[-1] == "Completed, 100 %"
    assert len(spoken) == len(set(spoken)), "the same is said once"
    assert all(re.fullmatch(r"[A-Z][a-z ]+(, \d+ %)?", each) for each in spoken), spoken
    assert page.locator("progress-feed [role=status]").count() == 1


def test_events_are_filtered_followed_and_read_further_back(
    browser_page: Any, duplication: Duplication
) -> None:
    page = browser_page
    for number in range(60):
        events.append(duplication, "feedback", payload={"message": f"word {number}"})
    open_page(page, duplication)
    run_stage(duplication, "parts")
    playwright.expect(page.locator("#event-list tr[data-event=started]")).to_have_count(1)
    assert "Progress" not in event_names(page)

    page.get_by_label("Show").select_option("all")
    playwright.expect(page.locator("#event-list tr[data-event=progress]").first).to_be_visible()
    page.get_by_label("with").fill("word")
    playwright.expect(page.locator("#event-list tr[data-event=progress]")).to_have_count(0)
    playwright.expect(page.locator("#event-list tr[data-event]")).to_have_count(50)
    assert set(event_names(page)) == {"Feedback"}
    events.append(duplication, "feedback", payload={"message": "one more WORD"})
    events.append(duplication, "feedback", payload={"message": "something else"})
    appears(page, "One more WORD")
    page.get_by_text("Older events").click()
    playwright.expect(page.locator("#event-list tr[data-event]")).to_have_count(61)
    is_shown(page.get_by_text("Older events"), expected=False)
    messages = page.locator("#event-list [data-cell=message]").all_inner_texts()
    assert messages == ["One more WORD", *(f"Word {number}" for number in range(59, -1, -1))]
    page.get_by_label("with").fill("nobody said this")
    appears(page, "No event is like that.")
    # The filter is part of the address.
    page.reload()
    assert page.get_by_label("with").input_value() == "nobody said this"


def test_page_of_somebody_elses_is_not_shown_nor_its_socket(
    browser: Browser, admin: User, duplication: Duplication
) -> None:
    stranger = UserFactory(is_staff=True, permissions=["add_duplication"])
    page = browser.tab(stranger, page_of(duplication))
    appears(page, "isn't yours to see")
    assert duplication.title not in page.content()
    code = page.evaluate(
        """path => new Promise((done) => {
            const socket = new WebSocket(`ws://${location.host}${path}`);
            socket.onclose = ({ code }) => done(code);
        })""",
        f"/ws/operations/duplication/{duplication.pk}/",
    )
    assert code == 4404
    browser.allow("404")
    assert page.goto(f"/operations/duplication/{duplication.pk}/cancel").status == 404


def test_page_says_when_its_user_may_no_longer_watch(
    browser: Browser, admin: User, duplication: Duplication, server: Any, serve: Serve
) -> None:
    watcher = UserFactory(is_staff=True, permissions=["view_duplication"])
    page = browser.tab(watcher)
    open_page(page, duplication)
    watcher.user_permissions.clear()
    browser.allow_lost_connections()
    server.kill()
    serve()
    shows(page, "[data-feed=link]", re.compile("it is gone, or not yours to see"))


def test_page_works_without_javascript(
    browser: Browser, admin: User, duplication: Duplication
) -> None:
    page = browser.tab(admin, page_of(duplication), scripts=False)
    shows(page, "[data-feed=link]", "Reload to see the current state.")
    button(page, "pause").click()
    appears(page, "was asked to pause")
    shows(page, STATE, "Paused")
    page.locator("#event-filter select").select_option("people")
    page.get_by_text("Filter", exact=True).click()
    assert event_names(page) == ["Pause requested"]
    button(page, "cancel").click()
    page.get_by_text("Cancel it").click()
    shows(page, STATE, "Cancelled")


def test_breach_of_the_content_security_policy_is_a_complaint(
    browser: Browser, browser_page: Any
) -> None:
    browser_page.goto("/admin/")
    browser_page.evaluate("document.body.setAttribute('style', 'color: red')")
    browser_page.evaluate("document.body.append(document.createElement('style'))")
    browser_page.evaluate("document.querySelector('style').textContent = 'p { color: red }'")
    assert any("Content Security Policy" in each for each in browser.unexpected())
    browser.allow("Content Security Policy")


@pytest.mark.parametrize("make", [completed, failed, waiting, started])
def test_pages_look_as_they_should(browser_page: Any, admin: User, make: Any) -> None:
    duplication = make(admin, "The long way home: a season about trains and who waited for them")
    browser_page.goto(page_of(duplication))
    if make is failed:
        browser_page.locator("#traceback summary").click()
    shoot(browser_page, f"duplication-{make.__name__}")


def test_lists_and_confirmation_look_as_they_should(browser_page: Any, admin: User) -> None:
    duplication = waiting(admin)
    completed(admin)
    browser_page.goto("/admin/duplication/duplication/")
    # The admin's own list scrolls inside itself.
    shoot(browser_page, "duplications")
    browser_page.goto(f"/operations/duplication/{duplication.pk}/cancel?next=/admin/")
    shoot(browser_page, "confirm")
