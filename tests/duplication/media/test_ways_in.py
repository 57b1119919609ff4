"""Asking for a media strategy, and reading what came of it: service, API, command."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from duplication.exceptions import CannotStart
from duplication.models import Duplication, MediaFile
from duplication.services import start_duplication
from operations.exceptions import IdempotencyKeyReused
from tests.duplication.driving import duplicate
from tests.duplication.media.conftest import episode_with, put
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/duplications"


@pytest.fixture
def user() -> Any:
    return UserFactory(permissions=["add_duplication"])


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def start(episode: Any, **options: Any) -> Duplication:
    return start_duplication(episode_id=episode.pk, requested_by=None, **options).duplication


def test_start_shares_files_unless_asked_to_copy_them() -> None:
    duplication = start(EpisodeFactory())
    assert (duplication.media_strategy, duplication.media_required) == ("share", False)


def test_start_keeps_what_was_asked_for() -> None:
    duplication = start(EpisodeFactory(), media_strategy="copy", media_required=True)
    duplication.refresh_from_db()
    assert (duplication.media_strategy, duplication.media_required) == ("copy", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"media_strategy": "steal"}, "media_strategy is 'steal': use share or copy."),
        ({"media_required": True}, "choose the media strategy copy, or don't require them."),
    ],
)
def test_start_with_a_strategy_that_makes_no_sense_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CannotStart, match=message):
        start(EpisodeFactory(), **options)
    assert not Duplication.objects.exists()


@pytest.mark.parametrize("other", [{}, {"media_strategy": "copy"}])
def test_start_same_key_with_another_strategy_is_refused(user: Any, other: Any) -> None:
    episode = EpisodeFactory()
    asked = {"episode_id": episode.pk, "requested_by": user, "idempotency_key": "k"}
    start_duplication(**asked, media_strategy="copy", media_required=True)
    with pytest.raises(IdempotencyKeyReused):
        start_duplication(**asked, **other)


def test_api_start_takes_the_strategy(api: APIClient, user: Any) -> None:
    answer = api.post(
        URL,
        {
            "episode": EpisodeFactory(owner=user).pk,
            "media_strategy": "copy",
            "media_required": True,
        },
        format="json",
    )
    assert answer.status_code == 202, answer.json()
    assert (answer.json()["media_strategy"], answer.json()["media_required"]) == ("copy", True)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"media_strategy": "steal"}, "media_strategy"),
        ({"media_required": True}, "media_required"),
        ({"media_strategy": "copy", "media_required": "perhaps"}, "media_required"),
    ],
)
def test_api_start_with_a_strategy_that_makes_no_sense_names_the_field(
    api: APIClient, user: Any, options: dict[str, Any], field: str
) -> None:
    episode = EpisodeFactory(owner=user)
    answer = api.post(URL, {"episode": episode.pk, **options}, format="json")
    assert answer.status_code == 400
    assert field in json.dumps(answer.json())
    assert not Duplication.objects.exists()


@pytest.mark.usefixtures("folder")
def test_api_media_lists_the_files_by_page_and_status(api: APIClient, user: Any) -> None:
    episode = episode_with(put("a.mp3"), put("b.mp3"), "gone.mp3")
    duplication = duplicate(episode, requested_by=user, media_strategy="copy")
    where = f"{URL}/{duplication.pk}/media"

    first = api.get(where, {"page_size": 2}).json()
    rest = api.get(first["next"]).json()
    listed = first["results"] + rest["results"]
    assert (len(first["results"]), rest["next"]) == (2, None)
    assert {(file["source"], file["status"], file["size"]) for file in listed} == {
        ("a.mp3", "copied", 5),
        ("b.mp3", "copied", 5),
        ("gone.mp3", "missing", None),
    }
    assert [file["id"] for file in listed] == sorted(file["id"] for file in listed)
    (missing,) = api.get(where, {"status": "missing"}).json()["results"]
    assert missing["source"] == "gone.mp3"
    assert api.get(where, {"status": "lost"}).status_code == 400


def test_api_media_of_somebody_else_is_not_there(api: APIClient) -> None:
    duplication = start(EpisodeFactory(), media_strategy="copy")
    MediaFile.objects.create(duplication=duplication, source="a", target="b")
    assert api.get(f"{URL}/{duplication.pk}/media").status_code == 404


def test_command_takes_the_strategy() -> None:
    out = io.StringIO()
    call_command(
        "duplicate_episode", str(EpisodeFactory().pk), "--media=copy", "--require-media", stdout=out
    )
    duplication = Duplication.objects.get()
    assert (duplication.media_strategy, duplication.media_required) == ("copy", True)


def test_command_that_requires_files_it_does_not_copy_says_why() -> None:
    with pytest.raises(CommandError, match="choose the media strategy copy"):
        call_command("duplicate_episode", str(EpisodeFactory().pk), "--require-media")
