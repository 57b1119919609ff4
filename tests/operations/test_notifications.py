"""The bell over its websocket: the number now, and whenever it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers, get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections
from django.utils import timezone

from operations import control, notifications
from operations.channel_layer import PostgresChannelLayer
from operations.notification_consumer import NotificationConsumer
from tests.factories.content import UserFactory
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyOperation

DEADLINE_SECONDS = 20


@pytest.fixture
async def layer() -> AsyncIterator[PostgresChannelLayer]:
    """The project's own layer; at the end nothing holds a connection to the test database."""
    channel_layers.backends.clear()
    layer = get_channel_layer()
    yield layer
    await layer.close()
    await sync_to_async(connections.close_all)()


def bell(user: User | AnonymousUser) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(NotificationConsumer.as_asgi(), "/ws/notifications/")
    communicator.scope["user"] = user
    return communicator


def cancelled(user: User) -> ToyOperation:
    """An operation that has ended."""
    operation: ToyOperation = control.request_cancel(TOY, TOY.start(requested_by=user))
    return operation


@pytest.mark.django_db(transaction=True)
async def test_bell_tells_the_number_at_once_and_each_time_it_changes(layer):
    user = await sync_to_async(UserFactory)()
    socket = bell(user)
    await socket.connect()
    assert await socket.receive_json_from(DEADLINE_SECONDS) == {"count": 0, "more": False}

    operation = await sync_to_async(cancelled)(user)
    assert await socket.receive_json_from(DEADLINE_SECONDS) == {"count": 1, "more": False}

    await sync_to_async(notifications.mark_seen)(operation, user)
    assert await socket.receive_json_from(DEADLINE_SECONDS) == {"count": 0, "more": False}
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_bell_of_another_user_is_silent(layer):
    user, other = [await sync_to_async(UserFactory)() for _ in range(2)]
    theirs = bell(other)
    await theirs.connect()
    await theirs.receive_json_from(DEADLINE_SECONDS)

    await sync_to_async(cancelled)(user)
    await sync_to_async(cancelled)(other)

    # The first that is heard is the own one.
    assert await theirs.receive_json_from(DEADLINE_SECONDS) == {"count": 1, "more": False}
    await theirs.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_bell_tells_again_when_the_layer_may_have_lost_something(layer):
    user = await sync_to_async(UserFactory)()
    socket = bell(user)
    await socket.connect()
    await socket.receive_json_from(DEADLINE_SECONDS)
    operation = await sync_to_async(TOY.start)(requested_by=user)
    # As if the hint had been lost.
    await ToyOperation.objects.filter(pk=operation.pk).aupdate(ended_at=timezone.now())

    await layer.group_send(notifications.group_name(user.pk), {"type": "channel.resync"})

    assert await socket.receive_json_from(DEADLINE_SECONDS) == {"count": 1, "more": False}
    await socket.disconnect()


async def test_bell_of_nobody_is_closed_with_the_reason():
    socket = bell(AnonymousUser())
    await socket.connect()
    assert (await socket.receive_output(DEADLINE_SECONDS))["code"] == 4401


@pytest.mark.django_db
def test_bell_counts_no_more_than_it_can_show():
    user = UserFactory()
    for _ in range(notifications.MOST + 3):
        cancelled(user)
    assert notifications.count(user) == notifications.MOST + 1
    assert len(notifications.unseen(user)) == notifications.MOST + 1


@pytest.mark.django_db
def test_bell_end_is_seen_only_by_who_asked_for_it():
    user, other = UserFactory(), UserFactory()
    operation = cancelled(user)
    notifications.mark_seen(operation, other)
    assert notifications.count(user) == 1
    notifications.mark_seen(operation, user)
    assert notifications.count(user) == 0
