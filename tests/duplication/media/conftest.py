"""Files in storage: in a folder, and in a bucket of moto's server spoken to over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from config.settings import base
from content.models import Block, Episode
from tests.aws import REGION, aws, moto_server
from tests.factories.content import BlockFactory, ItemFactory

BUCKET = "encore-media"

__all__ = ["aws", "moto_server"]


@pytest.fixture
def folder(settings: Any, tmp_path: Any) -> str:
    settings.MEDIA_ROOT = tmp_path / "media"
    return "folder"


@pytest.fixture
def bucket(aws: dict[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The default storage as AWS_STORAGE_BUCKET_NAME makes it."""
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.close()
    monkeypatch.setenv("AWS_STORAGE_BUCKET_NAME", BUCKET)
    settings.STORAGES = {**settings.STORAGES, "default": base.media_storage()}
    yield BUCKET
    storages["default"].connection.meta.client.close()


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest) -> Any:
    """Django's default storage, of either sort."""
    request.getfixturevalue(request.param)
    return storages["default"]


@pytest.fixture
def s3(bucket: str) -> Any:
    """The client that the code under test uses."""
    return storages["default"].connection.meta.client


@pytest.fixture
def requests_sent(s3: Any) -> Counter[str]:
    """How many requests of each operation S3 was sent."""
    sent: Counter[str] = Counter()
    s3.meta.events.register("before-send.s3", lambda event_name, **_: sent.update([event_name]))
    return sent


def put(name: str, content: bytes = b"sound") -> str:
    saved: str = storages["default"].save(name, ContentFile(content))
    assert saved == name
    return name


def read(name: str) -> bytes:
    with storages["default"].open(name) as file:
        content: bytes = file.read()
        return content


def episode_with(*media: str | None) -> Episode:
    """An episode whose blocks name these files, in this order."""
    item = ItemFactory()
    for position, name in enumerate(media):
        BlockFactory(item=item, position=position, media=name)
    episode: Episode = item.part.episode
    return episode


def named(episode: Episode) -> list[str | None]:
    """The files that the episode's blocks name, in order."""
    blocks = Block.objects.filter(item__part__episode=episode).order_by("position")
    return list(blocks.values_list("media", flat=True))
