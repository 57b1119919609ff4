"""An episode's audio over HTTP: who may hear it, in which parts, and for how long it is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.files.storage import default_storage
from django.db import connections
from django.test import AsyncClient
from storages.backends.s3 import S3Storage

from config.settings import base
from content.models import Episode
from generation.models import GenerationJob
from tests.factories.content import UserFactory
from tests.generation.making import generate, make_episode

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]


@pytest.fixture
def generation() -> GenerationJob:
    return generate(make_episode("One is.", title="What it / is", status="published"))


def address(generation: GenerationJob) -> str:
    return Episode.objects.get(pk=generation.episode_id).audio_url


def content(generation: GenerationJob) -> bytes:
    return Path(default_storage.path(generation.audio_name)).read_bytes()


def test_published_episode_is_heard_by_anybody_and_kept_for_ever(
    client: Any, generation: GenerationJob
) -> None:
    answer = client.get(address(generation))
    assert answer.status_code == 200
    assert answer.getvalue() == content(generation)
    assert answer["Content-Type"] == "audio/mpeg"
    assert answer["Content-Length"] == str(generation.audio_bytes)
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer["Content-Disposition"] == 'inline; filename="What_it__is.mp3"'
    assert "Vary" not in answer


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-1", 0, 1),
        ("bytes=100-", 100, None),
        ("bytes=100-999999999", 100, None),
        ("bytes=-50", -50, None),
        ("bytes=-999999999", 0, None),
        ("Bytes = 7 - 9", 7, 9),
    ],
)
def test_part_is_answered_with_that_part(
    client: Any, generation: GenerationJob, asked: str, start: int, end: int | None
) -> None:
    data = content(generation)
    start = len(data) + start if start < 0 else start
    end = len(data) - 1 if end is None else end
    answer = client.get(address(generation), headers={"Range": asked})
    assert answer.status_code == 206
    assert answer["Content-Range"] == f"bytes {start}-{end}/{len(data)}"
    assert answer["Content-Length"] == str(end - start + 1)
    assert answer.getvalue() == data[start : end + 1]


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=9-3", "what"])
def test_what_is_no_single_part_is_answered_with_all(
    client: Any, generation: GenerationJob, asked: str
) -> None:
    answer = client.get(address(generation), headers={"Range": asked})
    assert (answer.status_code, answer.getvalue()) == (200, content(generation))


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=-0"])
def test_part_behind_the_end_is_refused(client: Any, generation: GenerationJob, asked: str) -> None:
    answer = client.get(address(generation), headers={"Range": asked})
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{generation.audio_bytes}"


def test_part_of_another_file_is_not_put_together_with_this_one(
    client: Any, generation: GenerationJob
) -> None:
    url, asked = address(generation), {"Range": "bytes=5-9"}
    etag = client.head(url)["ETag"]
    assert client.get(url, headers={**asked, "If-Range": '"other"'}).status_code == 200
    assert client.get(url, headers={**asked, "If-Range": etag}).status_code == 206
    unchanged = client.get(url, headers={"If-None-Match": etag})
    assert unchanged.status_code == 304
    assert "immutable" in unchanged["Cache-Control"]


def test_head_tells_the_length_and_sends_nothing(client: Any, generation: GenerationJob) -> None:
    answer = client.head(address(generation), headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["Content-Length"] == str(generation.audio_bytes)
    assert client.post(address(generation)).status_code == 405


def test_draft_is_heard_by_who_may_see_it_and_kept_by_nobody_else(client: Any) -> None:
    owner = UserFactory()
    url = address(generate(make_episode("One.", owner=owner)))
    assert client.get(url).status_code == 404
    client.force_login(UserFactory())
    assert client.get(url).status_code == 404
    client.force_login(owner)
    answer = client.get(url)
    assert answer.status_code == 200
    assert answer["Cache-Control"].startswith("private, ")
    answer.close()


def test_replaced_address_leads_to_the_present_one(client: Any) -> None:
    episode = make_episode("One.", status="published")
    old = address(generate(episode))
    present = address(generate(episode, from_stage="audio", voices={"host": "tenor"}))
    assert old != present
    answer = client.get(old)
    assert (answer.status_code, answer["Location"]) == (302, present)
    assert answer["Cache-Control"] == "no-store"
    assert client.get(present.replace(present[-20:-4], "0" * 16)).status_code == 404
    assert client.get(f"/episodes/{episode.pk}/audio/.mp3").status_code == 404


def test_file_that_is_gone_is_not_found(client: Any, generation: GenerationJob) -> None:
    Path(default_storage.path(generation.audio_name)).unlink()
    assert client.get(address(generation)).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_asynchronous_server_sends_it_block_by_block(
    generation: GenerationJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.listening.BLOCK", 100)
    url = address(generation)

    async def listen() -> list[bytes]:
        try:
            answer = await AsyncClient().get(url, headers={"Range": "bytes=50-349"})
            assert answer.status_code == 206
            return [block async for block in answer.streaming_content]
        finally:
            await sync_to_async(connections.close_all)()  # of the thread that the view ran in

    blocks = asyncio.run(listen())
    assert [len(block) for block in blocks] == [100, 100, 100]
    assert b"".join(blocks) == content(generation)[50:350]


@pytest.mark.parametrize("bucket", ["encore-media", "media.example.org"])
@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9000", "https://s3.example.org"])
def test_policy_lets_players_follow_to_the_bucket(
    monkeypatch: pytest.MonkeyPatch, bucket: str, endpoint: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_STORAGE_BUCKET_NAME", bucket)
    monkeypatch.setattr(base, "AWS_REGION", "eu-central-1")
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    storage = S3Storage(**base.media_storage()["OPTIONS"])
    url = storage.url("sound.mp3")
    storage.connection.meta.client.close()
    assert any(url.startswith(f"{origin}/") for origin in base.media_origins())


def test_policy_without_a_bucket_is_ourselves() -> None:
    assert base.CONTENT_SECURITY_POLICY["DIRECTIVES"]["media-src"] == ["'self'"]
