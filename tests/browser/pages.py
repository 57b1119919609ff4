"""Where the pages are, and operations to show on them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from content.models import Episode
from content.services import delete_nodes
from content.synthetic import make_episode
from duplication.models import Duplication
from duplication.services import start_duplication
from tests.browser.conftest import shows
from tests.duplication.driving import run_stage, run_to_end

LIST = "/admin/duplication/duplication/"
DASHBOARD = "/admin/operations/"


def page_of(duplication: Duplication) -> str:
    return reverse("admin:duplication_duplication_change", args=[duplication.pk])


def open_page(page: Any, duplication: Duplication) -> None:
    page.goto(page_of(duplication))
    shows(page, "[data-feed=link]", "Live")


def started(user: User | None = None, title: str = "An episode") -> Duplication:
    episode = make_episode(parts=2, items=2, blocks=3, title=title)
    return start_duplication(episode_id=episode.pk, requested_by=user).duplication


def completed(user: User, title: str = "An episode") -> Duplication:
    duplication = started(user, title)
    run_to_end(duplication)
    assert duplication.status == "completed"
    return duplication


def failed(user: User, title: str = "An episode") -> Duplication:
    duplication = started(user, title)
    delete_nodes(model=Episode, ids=[duplication.org_episode_id])
    run_to_end(duplication)
    assert duplication.status == "failed"
    return duplication


def waiting(user: User, title: str = "An episode") -> Duplication:
    duplication = started(user, title)
    run_stage(duplication, "items")
    Duplication.objects.filter(pk=duplication.pk).update(
        waiting_reason="The database is busy: CPU 86 % > 80 %.",
        waiting_since=timezone.now(),
        waiting_until=timezone.now() + dt.timedelta(seconds=60),
    )
    return duplication
