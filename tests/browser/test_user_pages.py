"""The pages for people who make content, in a real browser: from an episode to its copy."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from playwright import sync_api as playwright

from content.synthetic import make_episode
from duplication.kind import DUPLICATION
from duplication.models import Duplication
from duplication.services import start_duplication
from operations import leases
from operations.models import ClusterHeartbeat
from tests import needs
from tests.browser.conftest import Browser, Serve, appears, button, fits, is_shown, shoot, shows
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import UserFactory
from tests.factories.generation import make_generation
from tests.processes import wait_until

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
def author() -> User:
    return UserFactory(username="olga", permissions=["add_duplication"])


def begun(author: User, title: str = "Springtime") -> Duplication:
    episode = make_episode(parts=2, items=2, blocks=3, title=title, owner=author)
    return start_duplication(episode_id=episode.pk, requested_by=author).duplication


def open_page(page: Any, duplication: Duplication) -> None:
    page.goto(duplication.get_absolute_url())
    shows(page, "[data-feed=link]", "Live")


def test_author_duplicates_an_episode_and_is_told_of_the_end(
    browser: Browser, author: User
) -> None:
    make_episode(parts=2, items=2, blocks=3, title="Springtime", owner=author)
    page = browser.tab(author, "/my/episodes")
    page.get_by_role("link", name="Duplicate “Springtime”").click()
    page.get_by_label("Title of the copy").fill("Summer")
    page.get_by_role("button", name="Duplicate").click()
    shows(page, "h1", "Summer")
    appears(page, "You can close this page")
    shows(page, "[data-feed=link]", "Live")

    run_to_end(Duplication.objects.get())

    shows(page, STATE, "Completed")
    appears(page, "Your copy is ready")
    shows(page, "[data-stage=blocks] [data-show=done]", "12")


def test_bell_rings_on_another_page_and_leads_to_what_has_ended(
    browser: Browser, author: User
) -> None:
    duplication = begun(author)
    page = browser.tab(author, "/my/episodes")
    is_shown(page.locator("[data-bell=count]"), expected=False)
    run_to_end(duplication)

    shows(page, "[data-bell=count]", "1")
    shows(page, "[data-bell=announcement]", "1 unread notifications")
    page.locator(".bell").click()
    shoot(page, "user-notifications")
    page.get_by_role("link", name="The copy “Springtime (copy)”").click()
    appears(page, "Your copy is ready")
    is_shown(page.locator("[data-bell=count]"), expected=False)


HIDE = """
    window.isHidden = true;
    const visibility = () => isHidden ? "hidden" : "visible";
    Object.defineProperty(document, "visibilityState", { get: visibility });
"""


def test_bell_rings_until_somebody_looks_at_the_page_that_shows_the_end(
    browser: Browser, author: User
) -> None:
    duplication = begun(author)
    watched, unwatched = browser.tab(author, "/my/episodes"), browser.tab(author)
    unwatched.add_init_script(HIDE)
    open_page(unwatched, duplication)
    run_to_end(duplication)

    # It draws itself anew, and nobody sees it.
    appears(unwatched, "Your copy is ready")
    shows(watched, "[data-bell=count]", "1")
    watched.wait_for_timeout(1000)
    is_shown(watched.locator("[data-bell=count]"))
    duplication.refresh_from_db()
    assert duplication.seen_at is None

    unwatched.evaluate("isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    is_shown(watched.locator("[data-bell=count]"), expected=False)


def test_page_that_is_looked_at_when_the_copy_ends_takes_it_off_the_bell(
    browser: Browser, author: User
) -> None:
    duplication = begun(author)
    page = browser.tab(author)
    open_page(page, duplication)
    run_to_end(duplication)
    appears(page, "Your copy is ready")
    wait_until(
        lambda: Duplication.objects.filter(pk=duplication.pk, seen_at__isnull=False).exists(),
        "it is marked as seen",
    )


def test_page_of_one_that_waits_never_says_that_a_time_is_to_come_that_is_past(
    browser: Browser, author: User, worker: ClusterHeartbeat
) -> None:
    duplication = begun(author)
    run_stage(duplication, "items")
    Duplication.objects.filter(pk=duplication.pk).update(
        waiting_reason="The switch “duplication” is off.",
        waiting_since=timezone.now(),
        waiting_until=timezone.now() - dt.timedelta(seconds=5),
    )
    page = browser.tab(author)
    open_page(page, duplication)
    is_shown(page.get_by_text("We look again at"))
    assert page.get_by_text("slowed down").count() == 0
    # Nobody comes to it, and no event tells so.
    is_shown(page.get_by_text("We were to look again at"))
    is_shown(page.get_by_text("We look again at"), expected=False)
    appears(page, "On hold.")
    worker.delete()
    appears(page, "the program that does this work isn't running")
    is_shown(page.get_by_text("On hold."), expected=False)


def test_page_of_one_that_waits_for_a_worker_names_no_time(
    browser: Browser, author: User, worker: ClusterHeartbeat
) -> None:
    duplication = begun(author)
    page = browser.tab(author)
    open_page(page, duplication)
    with transaction.atomic():
        leases.tell_not_taken(DUPLICATION, duplication.jobs.latest("pk"))
    appears(page, "It goes on as soon as a worker is free.")
    for words in ("We look again at", "We were to look again at"):
        is_shown(page.get_by_text(words), expected=False)


def test_pages_speak_of_the_copy_by_its_title(browser: Browser, author: User) -> None:
    duplication = begun(author)
    page = browser.tab(author)
    open_page(page, duplication)
    run_stage(duplication, "parts")
    spoken = re.compile("^The copy “Springtime \\(copy\\)”: ")
    shows(page, "[data-feed=announcement]", spoken)
    is_shown(page.get_by_role("button", name="Pause The copy “Springtime (copy)”"))
    assert "Duplication" not in page.locator("progress-feed").evaluate("node => node.outerHTML")


@pytest.mark.parametrize("width", [360, 1440])
def test_pages_are_no_wider_than_the_window_with_a_title_of_one_word(
    browser: Browser, author: User, width: int
) -> None:
    title = "A" * 120
    done, broken = begun(author, title), begun(author, title)
    run_to_end(done)
    broken.episode.delete()
    run_to_end(broken)
    heard = make_generation(requested_by=author, title=title, error="x" * 300, status="failed")
    page = browser.tab(author)
    for path in (
        "/my/episodes",
        f"/my/episodes/{done.org_episode_id}/duplicate",
        "/my/duplications",
        done.get_absolute_url(),
        broken.get_absolute_url(),
        f"/my/duplications/{done.pk}/remove",
        "/my/generations",
        heard.get_absolute_url(),
        "/operations/notifications",
    ):
        page.goto(path)
        fits(page, width)


def test_author_pauses_and_resumes_from_two_tabs_with_the_keyboard(
    browser: Browser, author: User
) -> None:
    duplication = begun(author)
    first, second = browser.tab(author), browser.tab(author)
    open_page(first, duplication)
    open_page(second, duplication)

    first.locator("[data-verb=pause]").focus()
    first.keyboard.press("Enter")

    for page in (first, second):
        shows(page, STATE, "Paused")
        appears(page, "Nothing is lost")
        is_shown(button(page, "pause"), expected=False)
    second.locator("[data-verb=resume]").focus()
    second.keyboard.press("Enter")
    shows(first, STATE, "In progress")
    run_to_end(duplication)
    shows(first, STATE, "Completed")


def test_author_undoes_a_copy(browser: Browser, author: User) -> None:
    duplication = begun(author)
    run_to_end(duplication)
    page = browser.tab(author, duplication.get_absolute_url())
    page.get_by_role("link", name="Undo…").click()
    appears(page, "The original isn't touched")
    page.get_by_role("button", name="Remove the copy").click()
    appears(page, "The copy is being taken away")
    removal = duplication.removals.get()
    assert not removal.even_if_changed


def test_page_of_a_cancelled_copy_follows_it_until_it_is_taken_away(
    browser: Browser, author: User
) -> None:
    duplication = begun(author)
    run_stage(duplication, "items")
    page = browser.tab(author)
    open_page(page, duplication)
    button(page, "cancel").click()
    page.locator("button.danger").click()
    shows(page, STATE, "Removing")
    removal = duplication.removals.get()
    run_to_end(removal)
    shows(page, STATE, "Removed")
    appears(page, "was taken away again")
    playwright.expect(page.locator("[data-live-page]")).to_have_attribute(
        "data-refresh-seconds", ""
    )


def test_stranger_is_told_nothing_of_somebody_elses(browser: Browser, author: User) -> None:
    browser.allow("404")
    duplication = begun(author)
    page = browser.tab(UserFactory())
    assert page.goto(duplication.get_absolute_url()).status == 404
    page.goto("/my/duplications")
    appears(page, "You have not duplicated anything yet")


def test_pages_without_javascript_are_true_and_can_be_steered(
    browser: Browser, author: User
) -> None:
    duplication = begun(author)
    page = browser.tab(author, duplication.get_absolute_url(), scripts=False)
    page.locator("[data-verb=pause]").click()
    shows(page, STATE, "Paused")
    page.locator("[data-verb=resume]").click()
    run_to_end(duplication)
    page.reload()
    shows(page, STATE, "Completed")


def test_pages_look_well(browser: Browser, author: User) -> None:
    done, running, failed = (begun(author, title) for title in ("Winter", "Water", "Bells"))
    run_to_end(done)
    run_stage(running, "items")
    failed.episode.delete()
    run_to_end(failed)
    page = browser.tab(author)
    for name, path in (
        ("episodes", "/my/episodes"),
        ("start", f"/my/episodes/{done.org_episode_id}/duplicate"),
        ("duplications", "/my/duplications"),
        ("duplication-running", running.get_absolute_url()),
        ("duplication-failed", failed.get_absolute_url()),
        ("duplication-completed", done.get_absolute_url()),
        ("remove", f"/my/duplications/{done.pk}/remove"),
    ):
        page.goto(path)
        if page.locator("progress-feed").count():
            playwright.expect(page.locator("[data-feed=link]").first).not_to_be_empty()
        shoot(page, f"user-{name}")
