"""Events over Redis, where REDIS_URL is set: not part of the transaction, sent at its commit."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers, get_channel_layer
from channels_redis.core import RedisChannelLayer
from django.db import connections, transaction
from pytest_django import Settings

from operations import events
from tests import needs
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyOperation

pytestmark = [needs.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
async def layer(settings: Settings) -> AsyncIterator[RedisChannelLayer]:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [needs.REDIS_URL]},
        }
    }
    layer = get_channel_layer()
    assert isinstance(layer, RedisChannelLayer)
    yield layer
    await layer.close_pools()
    channel_layers.backends.clear()
    await sync_to_async(connections.close_all)()


@sync_to_async
def append(operation: ToyOperation, *, commit: bool) -> None:
    with transaction.atomic():
        events.append(operation, "feedback", payload={"commit": commit})
        if not commit:
            transaction.set_rollback(True)


async def test_event_reaches_its_watchers_at_commit_and_never_after_a_rollback(
    layer: RedisChannelLayer,
) -> None:
    operation = await sync_to_async(TOY.start)()
    channel = await layer.new_channel()
    await layer.group_add(events.group_name("toy", operation.pk), channel)

    await append(operation, commit=False)
    await append(operation, commit=True)

    message = await layer.receive(channel)
    assert message["type"] == "operation.event"
    assert message["event"]["sequence"] == 1
    assert message["event"]["payload"]["commit"] is True
