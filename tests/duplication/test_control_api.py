"""Pausing, resuming, retrying and cancelling over HTTP, one and many."""

import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from duplication.kind import DUPLICATION
from duplication.services import start_duplication
from operations import control
from tests.duplication.driving import run_to_end
from tests.factories.content import BlockFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return UserFactory(permissions=["add_duplication"])


@pytest.fixture
def client(owner):
    client = APIClient()
    client.force_authenticate(owner)
    return client


@pytest.fixture
def duplication(owner):
    episode = BlockFactory(item__part__episode__owner=owner).item.part.episode
    started, _ = start_duplication(episode_id=episode.pk, requested_by=owner)
    return started


def url(duplication, verb=""):
    return f"/api/v1/duplications/{duplication.pk}{verb and f'/{verb}'}"


def test_pause_and_resume_answer_the_state_and_what_can_be_done_then(client, duplication):
    paused = client.post(url(duplication, "pause"))
    assert (paused.status_code, paused.json()["display_status"]) == (200, "paused")
    assert paused.json()["verbs"] == ["resume", "cancel"]

    resumed = client.post(url(duplication, "resume"))
    assert resumed.json()["display_status"] == "in_progress"
    run_to_end(duplication)
    assert duplication.status == "completed"


def test_retry_goes_on_with_a_failed_one(client, duplication):
    control.fail(DUPLICATION, duplication.jobs.get(), code="Boom", message="Boom", trace="")
    assert client.get(url(duplication)).json()["verbs"] == ["retry"]
    assert client.post(url(duplication, "retry")).json()["error_code"] == ""
    run_to_end(duplication)
    assert duplication.status == "completed"


def test_cancel_ends_it(client, duplication):
    assert client.post(url(duplication, "cancel")).json()["status"] == "cancelled"


@pytest.mark.parametrize("verb", ["pause", "resume", "retry", "cancel"])
def test_verb_that_does_not_fit_the_state_is_a_conflict_and_says_why(client, duplication, verb):
    run_to_end(duplication)
    response = client.post(url(duplication, verb))
    assert response.status_code == 409
    assert response.json()["code"] == "invalid_transition"
    assert "is completed" in response.json()["detail"]
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("verb", ["pause", "resume", "retry", "cancel"])
def test_verb_on_somebody_elses_is_not_found_and_for_who_may_only_look_forbidden(duplication, verb):
    client = APIClient()
    stranger = UserFactory()
    client.force_authenticate(stranger)
    assert client.post(url(duplication, verb)).status_code == 404

    stranger.user_permissions.add(Permission.objects.get(codename="view_duplication"))
    client.force_authenticate(type(stranger).objects.get(pk=stranger.pk))
    refused = client.post(url(duplication, verb))
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    duplication.refresh_from_db()
    assert (duplication.status, duplication.requested) == ("pending", "")


def test_control_of_many_tells_what_became_of_each(client, duplication, owner):
    other, _ = start_duplication(
        episode_id=duplication.org_episode_id, requested_by=owner, beside_active=True
    )
    theirs, _ = start_duplication(
        episode_id=BlockFactory().item.part.episode_id, requested_by=UserFactory()
    )
    run_to_end(other)

    response = client.post(
        "/api/v1/duplications/control",
        {"verb": "pause", "ids": [duplication.pk, other.pk, theirs.pk]},
        format="json",
    )

    assert response.status_code == 200
    done, refused, unseen = response.json()
    assert done == {"id": duplication.pk, "display_status": "paused", "refusal": ""}
    assert "is completed" in refused["refusal"]
    assert unseen["display_status"] is None
    assert "There is no" in unseen["refusal"]


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "explode", "ids": [1]},
        {"verb": "pause", "ids": []},
        {"verb": "pause", "ids": [0]},
        {"verb": "pause", "ids": list(range(1, 202))},
        {"verb": "pause"},
        {"ids": [1]},
    ],
)
def test_control_with_bad_input_says_where(client, body):
    response = client.post("/api/v1/duplications/control", body, format="json")
    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"]
