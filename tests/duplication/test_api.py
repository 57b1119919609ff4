from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from content.models import Episode
from content.synthetic import make_episode
from duplication.models import Duplication, IdMap
from duplication.services import start_duplication
from tests.duplication.driving import run_to_end
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/duplications"


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def owner() -> User:
    return UserFactory(permissions=["add_duplication"])


@pytest.fixture
def episode(owner: User) -> Episode:
    return make_episode(parts=2, items=2, blocks=3, owner=owner)


@pytest.fixture
def api(owner: User) -> APIClient:
    return client_of(owner)


def start(client: APIClient, episode: Episode, key: str | None = None, **options: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(URL, {"episode": episode.pk, **options}, format="json", headers=headers)


def duplicated(episode: Episode, user: User, **options: Any) -> Duplication:
    """A duplication that has run to its end."""
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=user, **options)
    run_to_end(duplication)
    assert duplication.status == "completed"
    return duplication


def pointers(response: Any) -> list[str]:
    assert response.status_code == 400
    return [each["pointer"] for each in response.data["errors"]]


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.data
    return [each["id"] for each in response.data["results"]]


# --- starting ---------------------------------------------------------------------


def test_start_is_accepted_and_enqueued_and_tells_where_to_look(
    api: APIClient, owner: User, episode: Episode
) -> None:
    response = start(api, episode, title="Another", lanes=3)
    assert response.status_code == 202
    duplication = Duplication.objects.get()
    assert response["Location"] == f"http://testserver{URL}/{duplication.pk}"
    assert response["Retry-After"] == "2"
    assert OrmQ.objects.count() == 1
    assert (duplication.requested_by, duplication.title, duplication.lanes) == (owner, "Another", 3)
    assert response.data["status"] == "pending"
    assert response.data["requested_by"] == owner.username
    assert api.get(response["Location"]).data == response.data


def test_start_runs_to_a_copy_that_its_detail_tells_of(api: APIClient, episode: Episode) -> None:
    location = start(api, episode)["Location"]
    run_to_end(Duplication.objects.get())
    found = api.get(location).data
    assert found["status"] == "completed"
    assert found["report"]["verified"] is True
    copy = Episode.objects.get(pk=found["new_episode"])
    assert copy.title == f"{episode.title} (copy)"
    done = {stage["stage"]: stage["done"] for stage in found["stages"]}
    assert (done["parts"], done["items"], done["blocks"]) == (2, 4, 12)


def test_start_while_active_answers_the_one_that_is(api: APIClient, episode: Episode) -> None:
    first = start(api, episode)
    again = start(api, episode, title="Ignored")
    assert again.status_code == 200
    assert again["Location"] == first["Location"]
    assert again.data["title"] == first.data["title"]
    assert OrmQ.objects.count() == 1


def test_start_beside_active_starts_another(api: APIClient, episode: Episode) -> None:
    first = start(api, episode)
    another = start(api, episode, beside_active=True)
    assert another.status_code == 202
    assert another["Location"] != first["Location"]


def test_start_while_somebody_elses_is_active_is_a_conflict_unless_it_may_be_seen(
    api: APIClient, episode: Episode
) -> None:
    editing = ["add_duplication", "view_episode", "change_episode"]
    first = start(api, episode)
    refused = start(client_of(UserFactory(permissions=editing)), episode)
    assert (refused.status_code, refused.data["code"]) == (409, "already_active")
    seeing = UserFactory(permissions=[*editing, "view_duplication"])
    assert start(client_of(seeing), episode)["Location"] == first["Location"]


def test_start_with_the_same_key_answers_the_first_also_after_its_end(
    api: APIClient, episode: Episode
) -> None:
    first = start(api, episode, key="k")
    assert first.status_code == 202
    assert start(api, episode, key="k").data["id"] == first.data["id"]
    run_to_end(Duplication.objects.get())
    again = start(api, episode, key="k")
    assert (again.status_code, again.data["id"]) == (200, first.data["id"])
    assert start(api, episode, key="other").status_code == 202


def test_start_with_the_same_key_for_another_request_is_refused(
    api: APIClient, episode: Episode
) -> None:
    first = start(api, episode, key="k")
    refused = start(api, episode, key="k", title="Another")
    assert (refused.status_code, refused.data["code"]) == (422, "idempotency_key_reused")
    assert f"duplication {first.data['id']}" in refused.data["detail"]
    assert Duplication.objects.count() == 1


def test_start_with_another_users_key_is_a_request_of_its_own(
    api: APIClient, episode: Episode
) -> None:
    start(api, episode, key="k")
    other = UserFactory(permissions=["add_duplication"])
    assert start(client_of(other), EpisodeFactory(owner=other), key="k").status_code == 202


def test_start_with_an_endless_key_is_refused(api: APIClient, episode: Episode) -> None:
    assert pointers(start(api, episode, key="k" * 256)) == ["/Idempotency-Key"]


@pytest.mark.parametrize("episode_id", [0, -1, "x", None, 10**30, 999_999_999])
def test_start_of_an_unknown_episode_is_refused_at_its_place(
    api: APIClient, episode_id: Any
) -> None:
    response = api.post(URL, {"episode": episode_id}, format="json")
    assert pointers(response) == ["/episode"]


@pytest.mark.parametrize("lanes", [0, 9, "many", 1.5])
def test_start_with_lanes_out_of_range_is_refused(
    api: APIClient, episode: Episode, lanes: Any
) -> None:
    assert pointers(start(api, episode, lanes=lanes)) == ["/lanes"]
    assert not Duplication.objects.exists()


def test_start_of_a_copy_in_the_making_is_as_of_an_unknown_episode(
    api: APIClient, owner: User
) -> None:
    copy = EpisodeFactory(owner=owner, status=Episode.Status.COPYING)
    assert pointers(start(api, copy)) == ["/episode"]


def test_start_of_somebody_elses_episode_is_unknown_or_forbidden(
    api: APIClient, episode: Episode
) -> None:
    stranger = UserFactory(permissions=["add_duplication"])
    assert pointers(start(client_of(stranger), episode)) == ["/episode"]
    viewer = UserFactory(permissions=["add_duplication", "view_episode"])
    refused = start(client_of(viewer), episode)
    assert refused.status_code == 403
    assert "belongs to somebody else" in refused.data["detail"]


def test_start_without_the_permission_is_forbidden_and_told_which_is_missing() -> None:
    owner = UserFactory()
    refused = start(client_of(owner), EpisodeFactory(owner=owner))
    assert refused.status_code == 403
    assert "duplication.add_duplication" in refused.data["detail"]
    assert not Duplication.objects.exists()


@pytest.mark.parametrize("path", ["", "/1", "/1/events", "/1/id-map"])
def test_anonymous_is_asked_to_authenticate(path: str) -> None:
    response = APIClient().get(f"{URL}{path}")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Token"


def test_script_with_its_token_starts_one(owner: User, episode: Episode) -> None:
    key = Token.objects.create(user=owner).key
    script = APIClient(enforce_csrf_checks=True, headers={"Authorization": f"Token {key}"})
    assert start(script, episode).status_code == 202


# --- starting twice at once ---------------------------------------------------------


def at_once(*requests: Callable[[], Any]) -> list[Any]:
    """The answers to requests that are sent at the same time, each on its own connection."""
    answers: list[Any] = [None] * len(requests)
    together = threading.Barrier(len(requests))

    def send(place: int) -> None:
        try:
            together.wait(timeout=20)
            answers[place] = requests[place]()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send, args=[place]) for place in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert None not in answers
    return answers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [None, "k"])
def test_start_twice_at_once_starts_one(owner: User, episode: Episode, key: str | None) -> None:
    answers = at_once(*[lambda: start(client_of(owner), episode, key=key)] * 2)
    assert sorted(answer.status_code for answer in answers) == [200, 202]
    assert len({answer.data["id"] for answer in answers}) == 1
    assert Duplication.objects.count() == OrmQ.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_start_of_two_episodes_at_once_with_one_key_starts_one(
    owner: User, episode: Episode
) -> None:
    other = EpisodeFactory(owner=owner)
    answers = at_once(
        lambda: start(client_of(owner), episode, key="k"),
        lambda: start(client_of(owner), other, key="k"),
    )
    assert sorted(answer.status_code for answer in answers) == [202, 422]
    assert Duplication.objects.count() == 1


# --- looking ----------------------------------------------------------------------


def test_list_shows_own_newest_first_and_all_with_the_permission(
    api: APIClient, owner: User, episode: Episode
) -> None:
    other = UserFactory()
    mine = [
        start_duplication(episode_id=episode.pk, requested_by=owner, beside_active=True)[0].pk
        for _ in range(2)
    ]
    theirs, _ = start_duplication(episode_id=EpisodeFactory().pk, requested_by=other)
    assert ids(api.get(URL)) == mine[::-1]
    viewer = client_of(UserFactory(permissions=["view_duplication"]))
    assert ids(viewer.get(URL)) == [theirs.pk, *mine[::-1]]


def test_list_filters(api: APIClient, owner: User, episode: Episode) -> None:
    done = duplicated(episode, owner)
    pending, _ = start_duplication(episode_id=EpisodeFactory(owner=owner).pk, requested_by=owner)
    for query, expected in [
        ({"status": "completed"}, [done.pk]),
        ({"status": "pending"}, [pending.pk]),
        ({"episode": episode.pk}, [done.pk]),
        ({"new_episode": done.new_episode_id}, [done.pk]),
        ({"created_after": "2999-01-01T00:00:00Z"}, []),
        ({"created_before": "2999-01-01T00:00:00Z"}, [pending.pk, done.pk]),
        ({"episode": 10**30}, []),
    ]:
        assert ids(api.get(URL, query)) == expected, query


@pytest.mark.parametrize(
    ("name", "value"), [("status", "x"), ("episode", "x"), ("created_after", "yesterday")]
)
def test_list_with_an_invalid_filter_says_where(api: APIClient, name: str, value: str) -> None:
    assert pointers(api.get(URL, {name: value})) == [f"/{name}"]


def test_list_follows_its_cursor_to_the_end(api: APIClient, owner: User, episode: Episode) -> None:
    for _ in range(5):
        start_duplication(episode_id=episode.pk, requested_by=owner, beside_active=True)
    url, found = f"{URL}?page_size=2", []
    while url:
        page = api.get(url)
        found += ids(page)
        url = page.data["next"]
    assert found == list(Duplication.objects.order_by("-id").values_list("pk", flat=True))
    assert len(found) == 5


def test_list_of_many_takes_as_many_queries_as_of_one(api: APIClient, owner: User) -> None:
    def one_more() -> None:
        duplicated(make_episode(parts=1, items=1, blocks=1, owner=owner), owner)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            ids(api.get(URL))
        return len(captured)

    one_more()
    queries()  # the user's permissions are read once
    of_one = queries()
    for _ in range(4):
        one_more()
    assert queries() == of_one


@pytest.mark.parametrize("path", ["", "/events", "/id-map"])
def test_somebody_elses_is_not_found_and_seen_with_the_permission(
    episode: Episode, owner: User, path: str
) -> None:
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=owner)
    url = f"{URL}/{duplication.pk}{path}"
    assert client_of(UserFactory()).get(url).status_code == 404
    assert client_of(UserFactory(permissions=["view_duplication"])).get(url).status_code == 200


@pytest.mark.parametrize("key", ["0", "x", "9" * 40, "9" * 5000])
def test_detail_of_what_is_no_duplication_is_not_found(api: APIClient, key: str) -> None:
    assert api.get(f"{URL}/{key}").status_code == 404


def test_duplications_can_not_be_written(api: APIClient, episode: Episode) -> None:
    url = start(api, episode)["Location"]
    for method in ("put", "patch", "delete"):
        assert getattr(api, method)(url, {}, format="json").status_code == 405


# --- events -----------------------------------------------------------------------


def test_events_come_in_order_without_a_gap_after_where_the_reader_left_off(
    api: APIClient, owner: User, episode: Episode
) -> None:
    duplication = duplicated(episode, owner)
    url = f"{URL}/{duplication.pk}/events"

    def sequences(address: str | None) -> list[int]:
        found: list[int] = []
        while address:
            page = api.get(address).data
            found += [event["sequence"] for event in page["results"]]
            address = page["next"]
        return found

    last = duplication.event_sequence
    assert sequences(f"{url}?page_size=3") == list(range(1, last + 1))
    assert sequences(f"{url}?after=4&page_size=3") == list(range(5, last + 1))
    assert sequences(f"{url}?after={last}") == []
    ended = api.get(f"{url}?after={last - 1}").data["results"][0]
    assert ended["name"] == "duplication.completed"
    assert ended["payload"]["new_episode_id"] == duplication.new_episode_id


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 5000])
def test_events_after_what_is_no_sequence_number_are_refused(
    api: APIClient, owner: User, episode: Episode, after: str
) -> None:
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=owner)
    assert pointers(api.get(f"{URL}/{duplication.pk}/events", {"after": after})) == ["/after"]


# --- the id map ---------------------------------------------------------------------


@pytest.fixture
def copied(owner: User, episode: Episode) -> Duplication:
    return duplicated(episode, owner)


def test_id_map_tells_which_row_became_which(
    api: APIClient, episode: Episode, copied: Duplication
) -> None:
    url = f"{URL}/{copied.pk}/id-map"
    [root] = api.get(url, {"type": "episode"}).data["results"]
    assert root == {"type": "episode", "org_id": episode.pk, "new_id": copied.new_episode_id}
    part = episode.parts.first()
    assert part is not None
    [by_original] = api.get(url, {"type": "part", "org_id": part.pk}).data["results"]
    assert api.get(url, {"type": "part", "new_id": by_original["new_id"]}).data["results"] == [
        by_original
    ]
    assert api.get(url, {"org_id": 10**30}).data["results"] == []


@pytest.mark.parametrize(("name", "value"), [("type", "chapter"), ("org_id", "x")])
def test_id_map_with_an_invalid_filter_says_where(
    api: APIClient, copied: Duplication, name: str, value: str
) -> None:
    assert pointers(api.get(f"{URL}/{copied.pk}/id-map", {name: value})) == [f"/{name}"]


@pytest.mark.parametrize("query", ["", "&type=block"])
def test_id_map_pages_cover_all_rows_once_in_both_directions(
    api: APIClient, copied: Duplication, query: str
) -> None:
    rows = IdMap.objects.filter(duplication=copied)
    if query:
        rows = rows.filter(type="block")
    url: str | None = f"{URL}/{copied.pk}/id-map?page_size=4{query}"
    pages, previous = [], None
    while url:
        page = api.get(url).data
        if previous:
            assert api.get(page["previous"]).data["results"] == previous
        previous = page["results"]
        pages += previous
        url = page["next"]
    assert [(row["type"], row["org_id"]) for row in pages] == list(
        rows.order_by("pk").values_list("type", "org_id")
    )


def test_id_map_page_of_a_level_of_thousands_goes_on_past_them(
    api: APIClient, copied: Duplication
) -> None:
    IdMap.objects.filter(duplication=copied).delete()
    IdMap.objects.bulk_create(
        IdMap(duplication=copied, type="block", org_id=number, new_id=number)
        for number in range(1, 2_501)
    )
    url: str | None = f"{URL}/{copied.pk}/id-map?page_size=400"
    found: list[int] = []
    while url and len(found) <= 2_500:
        page = api.get(url).data
        found += [row["org_id"] for row in page["results"]]
        url = page["next"]
    assert found == list(range(1, 2_501))


@pytest.mark.parametrize("position", ["x", "1", '[1,"block"]', '[1,"x",1]', '[1,"block","x"]'])
def test_id_map_with_a_forged_cursor_is_not_found(
    api: APIClient, copied: Duplication, position: str
) -> None:
    cursor = b64encode(urlencode({"p": position}).encode()).decode()
    response = api.get(f"{URL}/{copied.pk}/id-map", {"cursor": cursor})
    assert response.status_code == 404
