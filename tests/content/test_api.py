from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from content.api import documents as api_documents
from content.models import Block, Episode, Part
from content.services import import_episode
from content.synthetic import make_episode
from tests.content.documents import block, document, item, part
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db

EPISODES = "/api/v1/episodes"


def client_of(user: Any) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def owner() -> Any:
    return UserFactory(permissions=["add_episode"])


@pytest.fixture
def api(owner: Any) -> APIClient:
    return client_of(owner)


def titles(response: Any) -> list[str]:
    return [each["title"] for each in response.data["results"]]


# --- the list ----------------------------------------------------------------


def test_list_shows_own_episodes_newest_first(api: APIClient, owner: Any) -> None:
    EpisodeFactory(title="First", owner=owner)
    EpisodeFactory(title="Second", owner=owner)
    EpisodeFactory(title="Hidden", owner=owner, status=Episode.Status.COPYING)
    EpisodeFactory(title="Somebody's", owner=UserFactory())
    response = api.get(EPISODES)
    assert titles(response) == ["Second", "First"]
    assert response.data["results"][0]["owner_username"] == owner.username


def test_list_follows_its_cursor_to_the_end(api: APIClient, owner: Any) -> None:
    for number in range(5):
        EpisodeFactory(title=str(number), owner=owner)
    url, found = f"{EPISODES}?page_size=2", []
    while url:
        response = api.get(url)
        found += titles(response)
        url = response.data["next"]
    assert found == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "archived"}, ["Archived"]),
        ({"type": "dialogue"}, ["Dialogue"]),
        ({"orig_id": 77}, ["Copy"]),
        ({"generation_status": "FAILED"}, ["Dialogue"]),
        ({"search": "DIAL"}, ["Dialogue"]),
        ({"created_after": "2999-01-01T00:00:00Z"}, []),
        ({"created_before": "2999-01-01T00:00:00Z"}, ["Dialogue", "Copy", "Archived"]),
        ({"owner": 10**30}, []),
    ],
)
def test_list_filters(
    api: APIClient, owner: Any, query: dict[str, Any], expected: list[str]
) -> None:
    EpisodeFactory(title="Archived", owner=owner, status="archived")
    EpisodeFactory(title="Copy", owner=owner, orig_id=77)
    EpisodeFactory(title="Dialogue", owner=owner, type="dialogue", generation_status="FAILED")
    assert titles(api.get(EPISODES, query)) == expected


def test_list_with_invalid_filter_says_where(api: APIClient) -> None:
    response = api.get(EPISODES, {"status": "copying"})
    assert response.status_code == 400
    assert response.data["errors"][0]["pointer"] == "/status"


def test_list_by_generation_status_reads_along_the_index() -> None:
    viewer = client_of(UserFactory(permissions=["view_episode"]))
    few = Episode.GenerationStatus.FAILED
    Episode.objects.bulk_create(
        Episode(
            title=f"Episode {number}",
            generation_status=Episode.GenerationStatus.COMPLETED if number % 500 else few,
        )
        for number in range(5_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE episodes")
    with CaptureQueriesContext(connection) as queries:
        response = viewer.get(EPISODES, {"generation_status": few})
    assert len(response.data["results"]) == 10
    (listing,) = [each["sql"] for each in queries if '"generation_status" = ' in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {listing}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "episodes_generation_status" in plan
    assert "Seq Scan on episodes" not in plan


def test_list_takes_the_same_number_of_queries_for_more_rows(api: APIClient, owner: Any) -> None:
    counts = []
    api.get(EPISODES)  # the user's permissions are read once
    for _ in range(2):
        EpisodeFactory(owner=owner)
        with CaptureQueriesContext(connection) as queries:
            api.get(EPISODES)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- importing ---------------------------------------------------------------


def test_create_imports_the_document_for_the_user(api: APIClient, owner: Any) -> None:
    body = document(part("a", item("x", block("b", field_2="content:part/a"))))
    response = api.post(EPISODES, body, format="json")
    assert response.status_code == 201
    episode = Episode.objects.get()
    assert response["Location"] == f"http://testserver{EPISODES}/{episode.pk}"
    assert (response.data["id"], response.data["owner"]) == (episode.pk, owner.pk)
    assert Block.objects.get().field_2 == f"content:part/{Part.objects.get().pk}"


def test_create_with_mistakes_points_at_each(api: APIClient) -> None:
    body = document(part("a", item("x", block("b", media=1)), name="content:item/no"), title="")
    body["parts"][0]["a/b"] = 1
    response = api.post(EPISODES, body, format="json")
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert {each["pointer"]: each["detail"] for each in response.data["errors"]} == {
        "/title": "Expected a title, not an empty one.",
        "/parts/0/a~1b": "Unknown field. Expected one of: key, items, name.",
        "/parts/0/name": 'Link to content:item/no: the document has no item "no".',
        "/parts/0/items/0/blocks/0/media": "Expected a string or null, not a number.",
    }
    assert not Episode.objects.exists()


def test_create_with_too_many_mistakes_says_that_there_are_more(api: APIClient) -> None:
    response = api.post(EPISODES, {"title": "T", "parts": [1] * 30}, format="json")
    assert len(response.data["errors"]) == 20
    assert response.data["is_complete"] is False


@pytest.mark.parametrize("body", ["", "{", '{"title": "a", "title": "b", "parts": []}', "\xff"])
def test_create_with_unreadable_body_refuses(api: APIClient, body: str) -> None:
    response = api.generic("POST", EPISODES, body.encode("latin-1"), "application/json")
    assert response.status_code == 400
    assert response.data["errors"]


def test_create_with_another_media_type_refuses(api: APIClient) -> None:
    assert api.generic("POST", EPISODES, "title", "text/plain").status_code == 415


def test_create_over_the_limit_refuses(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_documents, "MAX_UPLOAD_BYTES", 1000)
    body = document(*[part(str(n)) for n in range(40)])
    response = api.post(EPISODES, body, format="json")
    assert response.status_code == 413
    assert response.data["code"] == "document_too_large"


def test_create_accepts_more_than_djangos_limit_for_forms(api: APIClient) -> None:
    body = document(part("a", item("x", block("b", field_2="x" * 3_000_000))))
    assert api.post(EPISODES, body, format="json").status_code == 201


def test_create_without_the_permission_is_forbidden() -> None:
    response = client_of(UserFactory()).post(EPISODES, document(), format="json")
    assert response.status_code == 403


# --- one episode -------------------------------------------------------------


def test_update_writes_title_type_and_status_only(api: APIClient, owner: Any) -> None:
    episode = EpisodeFactory(owner=owner)
    changes = {"title": "New", "type": "dialogue", "status": "published", "owner": None, "id": 1}
    response = api.patch(f"{EPISODES}/{episode.pk}", changes, format="json")
    assert response.status_code == 200
    episode.refresh_from_db()
    assert (episode.title, episode.type, episode.status) == ("New", "dialogue", "published")
    assert episode.owner == owner
    assert parse_datetime(response.data["updated_at"]) == episode.updated_at


@pytest.mark.parametrize("changes", [{"status": "copying"}, {"title": ""}, {"title": "x" * 256}])
def test_update_with_invalid_value_refuses(
    api: APIClient, owner: Any, changes: dict[str, str]
) -> None:
    episode = EpisodeFactory(owner=owner)
    response = api.patch(f"{EPISODES}/{episode.pk}", changes, format="json")
    assert response.status_code == 400
    assert response.data["errors"][0]["pointer"] == f"/{next(iter(changes))}"


def test_destroy_deletes_the_tree(api: APIClient, owner: Any) -> None:
    episode = make_episode(parts=1, items=1, blocks=2, owner=owner)
    assert api.delete(f"{EPISODES}/{episode.pk}").status_code == 204
    assert not Block.objects.exists()
    assert not Episode.objects.exists()


@pytest.mark.parametrize("key", ["0", "x", "9" * 40])
def test_retrieve_with_unknown_id_is_not_found(api: APIClient, key: str) -> None:
    assert api.get(f"{EPISODES}/{key}").status_code == 404


def test_episode_of_somebody_else_is_not_found_or_forbidden() -> None:
    url = f"{EPISODES}/{EpisodeFactory(owner=UserFactory()).pk}"
    stranger, viewer = (
        client_of(UserFactory()),
        client_of(UserFactory(permissions=["view_episode"])),
    )
    editor = client_of(UserFactory(permissions=["view_episode", "change_episode"]))
    for method in ("get", "patch", "delete"):
        assert getattr(stranger, method)(url).status_code == 404
    assert stranger.get(f"{url}/document").status_code == 404
    assert viewer.get(url).status_code == 200
    assert viewer.patch(url, {"title": "New"}).status_code == 403
    assert viewer.delete(url).status_code == 403
    assert editor.patch(url, {"title": "New"}, format="json").status_code == 200
    assert editor.delete(url).status_code == 403


@pytest.mark.parametrize(
    "path", ["episodes", "episodes/1", "episodes/1/document", "parts?episode=1"]
)
def test_anonymous_is_asked_to_authenticate(path: str) -> None:
    response = APIClient().get(f"/api/v1/{path}")
    assert response.status_code == 401
    assert response["WWW-Authenticate"]


# --- exporting ---------------------------------------------------------------


def test_document_is_a_download_that_imports_again(api: APIClient, owner: Any) -> None:
    source = document(part("a", item("x", block("b", field_2="content:block/b é"))))
    episode = import_episode(document=source, owner=owner)
    response = api.get(f"{EPISODES}/{episode.pk}/document")
    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"] == f'attachment; filename="episode-{episode.pk}.json"'
    body = b"".join(response.streaming_content)
    again = api.generic("POST", EPISODES, body, "application/json")
    assert again.status_code == 201
    copy = api.get(f"{EPISODES}/{again.data['id']}/document")
    assert b"".join(copy.streaming_content) == body


@pytest.mark.django_db(transaction=True)
async def test_document_over_asgi_comes_in_pieces_and_ends_its_transaction() -> None:
    def arrange() -> tuple[Any, Episode]:
        owner = UserFactory()
        blocks = [block(f"b{n}", field_2="t" * 500) for n in range(600)]
        tree = document(part("a", item("x", *blocks)))
        return owner, import_episode(document=tree, owner=owner)

    owner, episode = await sync_to_async(arrange)()
    try:
        await _download_whole_and_in_part(owner, episode)
    finally:
        await sync_to_async(lambda: connection.close())()  # that thread's own connection


async def _download_whole_and_in_part(owner: Any, episode: Episode) -> None:
    client = AsyncClient()
    await client.aforce_login(owner)
    url = f"{EPISODES}/{episode.pk}/document"

    whole = await client.get(url)
    pieces = [piece async for piece in whole]
    assert len(pieces) > 3
    assert len(json.loads(b"".join(pieces))["parts"][0]["items"][0]["blocks"]) == 600

    left = aiter(await client.get(url))
    await anext(left)
    assert await sync_to_async(lambda: connection.in_atomic_block)()
    await left.aclose()
    assert not await sync_to_async(lambda: connection.in_atomic_block)()


# --- nodes -------------------------------------------------------------------


def test_nodes_are_listed_below_their_parent(api: APIClient, owner: Any) -> None:
    found = BlockFactory(item__part__episode__owner=owner, field_3="x")
    BlockFactory(item__part__episode__owner=owner)
    item, part = found.item, found.item.part
    parts = api.get(f"/api/v1/parts?episode={part.episode_id}").data["results"]
    items = api.get(f"/api/v1/items?part={part.pk}").data["results"]
    blocks = api.get(f"/api/v1/blocks?item={item.pk}").data["results"]
    assert [each["id"] for each in (*parts, *items, *blocks)] == [part.pk, item.pk, found.pk]
    assert blocks[0]["field_3"] == "x"


def test_nodes_follow_their_cursor_by_id(api: APIClient, owner: Any) -> None:
    make_episode(parts=1, items=1, blocks=7, owner=owner)
    expected = list(Block.objects.order_by("id").values_list("pk", flat=True))
    url, found = f"/api/v1/blocks?item={Block.objects.all()[0].item_id}&page_size=3", []
    while url:
        page = api.get(url).data
        found += [each["id"] for each in page["results"]]
        url = page["next"]
    assert found == expected


@pytest.mark.parametrize("query", ["", "?part=", "?part=x", "?part=0"])
def test_nodes_without_a_parent_are_refused(api: APIClient, query: str) -> None:
    response = api.get(f"/api/v1/items{query}")
    assert response.status_code == 400
    assert response.data["errors"][0]["pointer"] == "/part"


def test_nodes_of_an_episode_that_may_not_be_viewed_are_not_found(api: APIClient) -> None:
    found = BlockFactory(item__part__episode__owner=UserFactory())
    assert api.get(f"/api/v1/blocks?item={found.item_id}").status_code == 404
    assert api.get("/api/v1/blocks?item=999999999").status_code == 404
    viewer = client_of(UserFactory(permissions=["view_episode"]))
    assert viewer.get(f"/api/v1/blocks?item={found.item_id}").status_code == 200


def test_nodes_are_read_only(api: APIClient) -> None:
    assert api.post("/api/v1/parts?episode=1", {}, format="json").status_code == 405
