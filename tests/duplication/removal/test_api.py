import pytest
from rest_framework.test import APIClient

from content.models import Block, Episode
from content.services import update_episode
from content.synthetic import make_episode
from duplication.models import Removal
from tests.duplication.driving import duplicate, run_to_end
from tests.factories.content import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return UserFactory()


@pytest.fixture
def client(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def duplication(user):
    return duplicate(make_episode(parts=1, items=1, blocks=2), requested_by=user)


def ask(client, duplication, data=None, **headers):
    url = f"/api/v1/duplications/{duplication.pk}/removal"
    return client.post(url, data or {}, format="json", headers=headers)


def test_removal_is_accepted_and_says_where_it_is(client, duplication):
    response = ask(client, duplication)
    assert response.status_code == 202
    removal = Removal.objects.get()
    assert response["Location"].endswith(f"/api/v1/removals/{removal.pk}")
    assert response["Retry-After"]
    assert response.json()["duplication"] == duplication.pk

    again = ask(client, duplication)
    assert (again.status_code, again.json()["id"]) == (200, removal.pk)

    run_to_end(removal)
    followed = client.get(response["Location"]).json()
    assert followed["status"] == "completed"
    assert (
        client.get(f"/api/v1/duplications/{duplication.pk}").json()["display_status"] == "removed"
    )
    assert not Episode.objects.filter(pk=duplication.new_episode_id).exists()


def test_removal_same_key_answers_the_first(client, duplication):
    first = ask(client, duplication, **{"Idempotency-Key": "k1"})
    run_to_end(Removal.objects.get())
    again = ask(client, duplication, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other = ask(client, duplication, {"even_if_changed": True}, **{"Idempotency-Key": "k1"})
    assert other.status_code == 422


def test_removal_of_a_changed_copy_is_a_conflict_with_the_way_on(client, duplication):
    update_episode(episode=duplication.new_episode, changes={"title": "Mine"})
    response = ask(client, duplication)
    assert response.status_code == 409
    assert "even_if_changed" in response.json()["detail"]
    assert ask(client, duplication, {"even_if_changed": True}).status_code == 202


def test_removal_of_somebody_elses_duplication_is_not_found(duplication):
    stranger = APIClient()
    stranger.force_authenticate(UserFactory())
    assert ask(stranger, duplication).status_code == 404


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["view_duplication"], 403),
        (["view_duplication", "change_duplication"], 403),
        (["view_duplication", "change_duplication", "view_episode", "delete_episode"], 202),
    ],
)
def test_removal_by_another_needs_permissions(duplication, permissions, status):
    other = APIClient()
    other.force_authenticate(UserFactory(permissions=permissions))
    assert ask(other, duplication).status_code == status


def test_removal_of_a_copy_that_belongs_to_somebody_else_by_now_is_forbidden(client, duplication):
    Episode.objects.filter(pk=duplication.new_episode_id).update(owner=UserFactory())
    response = ask(client, duplication)
    assert response.status_code == 403
    assert "delete_episode" in response.json()["detail"]


def test_removals_are_listed_followed_and_steered(client, duplication):
    ask(client, duplication)
    removal = Removal.objects.get()
    listed = client.get("/api/v1/removals", {"duplication": duplication.pk}).json()["results"]
    assert [row["id"] for row in listed] == [removal.pk]
    assert client.post(f"/api/v1/removals/{removal.pk}/pause").json()["status"] == "paused"
    assert client.post(f"/api/v1/removals/{removal.pk}/resume").json()["status"] == "in_progress"
    assert client.post(f"/api/v1/removals/{removal.pk}/cancel").json()["status"] == "cancelled"
    names = [
        e["name"] for e in client.get(f"/api/v1/removals/{removal.pk}/events").json()["results"]
    ]
    assert names[-1] == "removal.cancelled"
    duplication.new_episode.refresh_from_db()
    assert duplication.new_episode.status == "draft"


def test_keep_settles_a_refused_removal(client, duplication):
    Block.objects.filter(item__part__episode=duplication.new_episode).update(field_2="by SQL")
    ask(client, duplication)
    removal = Removal.objects.get()
    url = f"/api/v1/removals/{removal.pk}/keep"
    early = client.post(url)
    assert (early.status_code, early.json()["code"]) == (409, "invalid_transition")
    run_to_end(removal)
    assert removal.status == "failed"

    kept = client.post(url)

    assert (kept.status_code, kept.json()["status"]) == (200, "cancelled")
    assert ask(client, duplication, {"even_if_changed": True}).status_code == 202


def test_keep_of_a_removal_that_one_may_only_see_is_forbidden(client, duplication):
    removal = Removal.objects.create(duplication=duplication, status="failed")
    other = APIClient()
    other.force_authenticate(UserFactory(permissions=["view_removal"]))
    assert other.post(f"/api/v1/removals/{removal.pk}/keep").status_code == 403
