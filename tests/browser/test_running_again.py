"""The page of an operation that runs again and again, open from one run to the next."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from operations import control, runner
from operations.models import Event
from tests import needs
from tests.browser.conftest import Serve, button, is_shown, shows
from tests.operations.toy.chore import CHORE
from tests.operations.toy.models import Chore

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

STATE = "#state .state"


@pytest.fixture
def chore(transactional_db: None, admin: User) -> Chore:
    """Has run once, and waits for its next run."""
    chore = Chore.objects.create(requested_by=admin)
    CHORE.start_run(chore, "sweep", "dust")
    return CHORE.run_to_end(chore)


@pytest.fixture
def page(serve: Serve, browser_page: Any, chore: Chore) -> Any:
    serve()
    browser_page.goto(reverse("admin:toy_chore_change", args=[chore.pk]))
    shows(browser_page, "[data-feed=link]", "Live")
    return browser_page


def run_next(chore: Chore) -> None:
    chore.refresh_from_db()
    job = CHORE.jobs_of(chore).filter(status="queued").get()
    assert runner.run("chore", str(job.pk)) == "completed"


def of_stage(name: str, what: str) -> str:
    return f".stages [data-stage={name}] [data-show={what}]"


def test_page_of_the_last_run_shows_the_next_one_from_its_beginning_to_its_end(
    page: Any, chore: Chore
) -> None:
    shows(page, STATE, "Scheduled")
    shows(page, "[data-feed=percent]", "100 %")
    shows(page, of_stage("dust", "done"), "5")

    CHORE.start_run(chore, "sweep", "dust")
    shows(page, of_stage("sweep", "done"), "0")
    shows(page, of_stage("dust", "left"), "–")
    shows(page, "[data-feed=percent]", "")
    shows(page, STATE, "Scheduled")
    assert page.locator(of_stage("dust", "span")).get_attribute("width") == "0"

    run_next(chore)
    shows(page, STATE, "Running")
    shows(page, of_stage("sweep", "done"), "5")
    shows(page, of_stage("dust", "done"), "0")

    run_next(chore)
    shows(page, STATE, "Scheduled")
    shows(page, "[data-feed=percent]", "100 %")
    shows(page, of_stage("dust", "left"), re.compile("took"))
    shows(page, "[data-feed=announcement]", re.compile("Scheduled, 100 %$"))
    shows(page, "[data-feed=link]", re.compile("^Live"))


def test_page_whose_next_run_has_other_stages_is_loaded_anew(page: Any, chore: Chore) -> None:
    CHORE.start_run(chore, "polish", "dust")
    shows(page, of_stage("polish", "done"), "0")
    assert page.locator(".stages [data-stage]").count() == 2
    run_next(chore)
    shows(page, of_stage("polish", "done"), "5")
    shows(page, "[data-feed=stage]", "Polish!")


def test_page_in_use_is_not_taken_away_but_says_that_there_is_more(page: Any, chore: Chore) -> None:
    page.locator("#event-filter input").focus()
    CHORE.start_run(chore, "polish")
    is_shown(page.locator("[data-stale]"))
    run_next(chore)
    shows(page, STATE, "Scheduled")
    is_shown(page.locator("[data-stale]"))
    page.locator("[data-stale] a").click()
    shows(page, of_stage("polish", "done"), "5")


def test_page_of_one_that_is_resumed_between_two_runs_says_that_it_waits(
    page: Any, chore: Chore
) -> None:
    button(page, "pause").click()
    shows(page, STATE, "Paused")
    control.resume(CHORE, chore)
    shows(page, STATE, "Scheduled")
    is_shown(button(page, "pause"))
    assert Event.objects.filter(name="chore.scheduled").count() == 2


def test_page_of_one_that_has_ended_for_now_shows_that_it_runs_again(
    page: Any, chore: Chore
) -> None:
    Chore.objects.filter(pk=chore.pk).update(recurs=False)
    CHORE.start_run(chore, "sweep")
    CHORE.run_to_end(chore)
    shows(page, STATE, "Completed")
    CHORE.start_run(chore, "sweep")
    shows(page, STATE, "Scheduled")
    shows(page, of_stage("sweep", "done"), "0")
