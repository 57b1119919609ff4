"""The layer's promises, on a real PostgreSQL; two layers in a process stand for two processes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction

from operations.channel_layer import (
    APPLICATION_NAME,
    MAX_PAYLOAD_BYTES,
    POSTGRES_CHANNEL,
    MessageTooLarge,
    PostgresChannelLayer,
    group_send_in_transaction,
)

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE_SECONDS = 20
RESYNC = {"type": "channel.resync"}

MakeLayer = Callable[..., PostgresChannelLayer]


@pytest.fixture(autouse=True)
def _no_connection_left() -> Iterator[None]:
    """The thread that sends for async code keeps its connection: the test database can't go."""
    yield

    async def close() -> None:
        await sync_to_async(connections.close_all)()

    asyncio.run(close())


@pytest.fixture
async def make_layer() -> AsyncIterator[MakeLayer]:
    layers = []

    def make(**options: Any) -> PostgresChannelLayer:
        layers.append(PostgresChannelLayer(**options))
        return layers[-1]

    yield make
    for layer in layers:
        await layer.close()


@pytest.fixture
def layer(make_layer: MakeLayer) -> PostgresChannelLayer:
    return make_layer()


def within_deadline(awaitable: Awaitable[Any]) -> Awaitable[Any]:
    return asyncio.wait_for(awaitable, DEADLINE_SECONDS)


async def receive(layer: PostgresChannelLayer, channel: str, count: int = 1) -> list[Any]:
    return [await within_deadline(layer.receive(channel)) for _ in range(count)]


async def member(layer: PostgresChannelLayer, group: str) -> str:
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    return channel


def query(statement: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def listeners() -> list[int]:
    """The backends that listen for this database's layers."""
    rows = query(
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        APPLICATION_NAME,
    )
    return [pid for (pid,) in rows]


def listeners_become(count: int) -> bool:
    """Whether there are `count` of them before the deadline: a backend ends after its client."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(listeners()) != count:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def terminate_listeners() -> None:
    for pid in listeners():
        query("SELECT pg_terminate_backend(%s)", pid)


# --- groups -------------------------------------------------------------------


async def test_group_send_with_members_in_two_layers_reaches_all(make_layer: MakeLayer) -> None:
    one, other = make_layer(), make_layer()
    channels = [(one, await member(one, "g")) for _ in range(2)]
    channels += [(other, await member(other, "g"))]
    await one.group_send("g", {"type": "hint", "text": "ä"})
    for layer, channel in channels:
        assert await receive(layer, channel) == [{"type": "hint", "text": "ä"}]


async def test_group_send_to_a_group_with_other_members_reaches_none_of_them(
    layer: PostgresChannelLayer,
) -> None:
    channel = await member(layer, "g")
    await layer.group_send("another", {"n": 1})
    await layer.group_send("g", {"n": 2})
    assert await receive(layer, channel) == [{"n": 2}]


async def test_group_discard_of_a_member_stops_its_messages(layer: PostgresChannelLayer) -> None:
    leaver, stayer = await member(layer, "g"), await member(layer, "g")
    await layer.group_discard("g", leaver)
    await layer.group_send("g", {"n": 1})
    assert await receive(layer, stayer) == [{"n": 1}]
    await layer.send(leaver, {"n": 2})
    assert await receive(layer, leaver) == [{"n": 2}]


async def test_group_discard_of_a_stranger_is_silent(layer: PostgresChannelLayer) -> None:
    await layer.group_discard("g", "specific.nobody!1")
    channel = await member(layer, "g")
    await layer.group_discard("other", channel)


async def test_group_send_of_1000_messages_keeps_their_order_in_every_layer(
    make_layer: MakeLayer,
) -> None:
    one, other = make_layer(capacity=1_000), make_layer(capacity=1_000)
    channels = [(one, await member(one, "g")), (other, await member(other, "g"))]

    def send_all() -> None:
        for n in range(1_000):
            group_send_in_transaction("g", {"n": n})

    await sync_to_async(send_all)()
    for layer, channel in channels:
        assert await receive(layer, channel, 1_000) == [{"n": n} for n in range(1_000)]


async def test_group_send_to_many_members_gives_all_the_same_parsed_message(
    layer: PostgresChannelLayer,
) -> None:
    channels = [await member(layer, "g") for _ in range(50)]
    await layer.group_send("g", {"n": 1})
    messages = [(await receive(layer, channel))[0] for channel in channels]
    assert messages == [{"n": 1}] * 50
    assert len({id(message) for message in messages}) == 1


# --- one channel --------------------------------------------------------------


async def test_send_to_a_channel_of_another_layer_reaches_it_alone(make_layer: MakeLayer) -> None:
    one, other = make_layer(), make_layer()
    mine, yours = await one.new_channel(), await other.new_channel()
    await one.send(yours, {"n": 1})
    await one.send(mine, {"n": 2})
    assert await receive(other, yours) == [{"n": 1}]
    assert await receive(one, mine) == [{"n": 2}]
    overheard = asyncio.create_task(one.receive(yours))
    await asyncio.sleep(0)  # a new task runs until it has to wait
    assert not overheard.done()
    overheard.cancel()


async def test_send_to_a_channel_of_no_process_raises(layer: PostgresChannelLayer) -> None:
    with pytest.raises(TypeError, match="belongs to no process"):
        await layer.send("thumbnails", {"n": 1})


async def test_receive_when_cancelled_loses_no_message(layer: PostgresChannelLayer) -> None:
    channel = await layer.new_channel()
    receiving = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)  # a new task runs until it has to wait: here for its message
    receiving.cancel()
    await asyncio.wait([receiving])
    await layer.send(channel, {"n": 1})
    assert await receive(layer, channel) == [{"n": 1}]


# --- what a message may be ------------------------------------------------------


async def test_sending_at_the_limit_arrives_and_one_byte_more_is_too_large(
    layer: PostgresChannelLayer,
) -> None:
    channel = await member(layer, "g")
    empty = len('g {"text":""}')
    fits = {"text": "x" * (MAX_PAYLOAD_BYTES - empty)}
    await layer.group_send("g", fits)
    assert await receive(layer, channel) == [fits]
    too_large = {"text": fits["text"] + "x"}
    with pytest.raises(MessageTooLarge, match="8000 bytes"):
        await layer.group_send("g", too_large)
    with pytest.raises(MessageTooLarge):
        await layer.send(channel, too_large)
    with pytest.raises(MessageTooLarge):
        group_send_in_transaction("g", too_large)


def test_sending_too_large_a_message_counts_bytes_not_characters() -> None:
    with pytest.raises(MessageTooLarge):
        group_send_in_transaction("g", {"text": "ä" * 4_000})


def test_sending_what_is_no_dict_raises() -> None:
    with pytest.raises(TypeError, match="dict"):
        group_send_in_transaction("g", ["type"])  # type: ignore[arg-type]  # the point of the test


def test_sending_to_a_group_name_with_a_space_raises() -> None:
    with pytest.raises(TypeError, match="Group name"):
        group_send_in_transaction("no group", {})


# --- transactions ---------------------------------------------------------------


async def test_group_send_in_transaction_is_delivered_at_commit_not_before(
    layer: PostgresChannelLayer,
) -> None:
    channel = await member(layer, "g")
    sent, may_commit = threading.Event(), threading.Event()

    def work() -> None:
        try:
            with transaction.atomic():
                group_send_in_transaction("g", {"n": "sent first, committed last"})
                sent.set()
                assert may_commit.wait(DEADLINE_SECONDS)
        finally:
            connections.close_all()

    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        assert await asyncio.to_thread(sent.wait, DEADLINE_SECONDS)
        await layer.group_send("g", {"n": "sent last, committed first"})
        assert await receive(layer, channel) == [{"n": "sent last, committed first"}]
    finally:
        may_commit.set()
        await working
    assert await receive(layer, channel) == [{"n": "sent first, committed last"}]


async def test_group_send_in_transaction_that_rolls_back_is_never_delivered(
    layer: PostgresChannelLayer,
) -> None:
    channel = await member(layer, "g")

    def work() -> None:
        with transaction.atomic():
            group_send_in_transaction("g", {"n": "rolled back"})
            transaction.set_rollback(True)
        with transaction.atomic():
            group_send_in_transaction("g", {"n": "committed"})

    await sync_to_async(work)()
    assert await receive(layer, channel) == [{"n": "committed"}]


# --- falling behind, losing the connection --------------------------------------


async def test_a_full_channel_trades_its_backlog_for_one_resync(make_layer: MakeLayer) -> None:
    layer = make_layer(capacity=3)
    slow, witness = await member(layer, "g"), await member(layer, "g")
    for n in range(4):
        await layer.group_send("g", {"n": n})
        assert await receive(layer, witness) == [{"n": n}]
    await layer.group_send("g", {"n": "after"})
    assert await receive(layer, slow, 2) == [RESYNC, {"n": "after"}]


async def test_a_lost_connection_is_restored_with_a_resync_for_every_channel(
    layer: PostgresChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="operations.channel_layer")
    in_group, alone = await member(layer, "g"), await layer.new_channel()
    await layer.send(alone, {"n": 1})
    assert await receive(layer, alone) == [{"n": 1}]

    await sync_to_async(terminate_listeners)()

    assert await receive(layer, in_group) == [RESYNC]
    assert await receive(layer, alone) == [RESYNC]
    await layer.group_send("g", {"n": 2})
    assert await receive(layer, in_group) == [{"n": 2}]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert await sync_to_async(listeners_become)(1)


async def test_an_unreachable_database_is_waited_for_and_ends_in_a_resync(
    layer: PostgresChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="operations.channel_layer")
    settings = connection.settings_dict
    name = settings["NAME"]
    settings["NAME"] = "no_such_database"
    try:
        channel = await within_deadline(member(layer, "g"))
    finally:
        settings["NAME"] = name
    assert await receive(layer, channel) == [RESYNC]
    await layer.group_send("g", {"n": 1})
    assert await receive(layer, channel) == [{"n": 1}]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_notification_that_is_no_message_is_logged_and_survived(
    layer: PostgresChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await member(layer, "g")
    await sync_to_async(query)("SELECT pg_notify(%s, 'g {broken')", POSTGRES_CHANNEL)
    await layer.group_send("g", {"n": 1})
    assert await receive(layer, channel) == [{"n": 1}]
    assert "that is no message" in caplog.text


async def test_a_channel_nobody_receives_from_leaves_its_groups_a_receiving_one_stays(
    make_layer: MakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer = make_layer(expiry=0)
    abandoned = await member(layer, "g")
    alive = await layer.new_channel()
    receiving = asyncio.create_task(layer.receive(alive))
    await asyncio.sleep(0)  # a new task runs until it has to wait: here for its message
    await layer.group_add("g", alive)
    await member(layer, "g")  # a new channel: the others are looked at
    await layer.group_send("g", {"n": 1})
    assert await within_deadline(receiving) == {"n": 1}
    await layer.send(abandoned, {"n": 2})
    assert await receive(layer, abandoned) == [{"n": 2}]
    assert f"Removed channel {abandoned}" in caplog.text


# --- event loops and processes ----------------------------------------------------


async def round_trip(layer: PostgresChannelLayer, text: str) -> None:
    channel = await member(layer, "g")
    await layer.group_send("g", {"text": text})
    assert await receive(layer, channel) == [{"text": text}]


def test_a_layer_in_two_event_loops_one_after_the_other_works_in_both() -> None:
    layer = PostgresChannelLayer()
    asyncio.run(round_trip(layer, "first"))
    assert listeners_become(0)
    asyncio.run(round_trip(layer, "second"))
    assert listeners_become(0)


def test_a_layer_in_two_event_loops_at_once_works_in_both() -> None:
    layer = PostgresChannelLayer()

    async def outer() -> None:
        channel = await member(layer, "g")
        await asyncio.to_thread(asyncio.run, inner())
        assert await receive(layer, channel) == [{"text": "from the inner loop"}]

    async def inner() -> None:
        await round_trip(layer, "from the inner loop")

    asyncio.run(outer())


def test_a_sender_alone_opens_no_listening_connection() -> None:
    async_to_sync(PostgresChannelLayer().group_send)("g", {"n": 1})
    assert listeners_become(0)


def test_group_send_from_synchronous_code_belongs_to_its_transaction() -> None:
    layer = PostgresChannelLayer()

    async def scenario() -> None:
        channel = await member(layer, "g")
        await sync_to_async(work)()
        assert await receive(layer, channel) == [{"n": "committed"}]

    def work() -> None:
        with transaction.atomic():
            async_to_sync(layer.group_send)("g", {"n": "rolled back"})
            transaction.set_rollback(True)
        async_to_sync(layer.group_send)("g", {"n": "committed"})

    asyncio.run(scenario())


def test_a_loop_closed_without_cancelling_leaves_no_connection_and_no_warning() -> None:
    layer = PostgresChannelLayer()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(member(layer, "g"))
    assert listeners_become(1)
    loop.close()
    asyncio.run(round_trip(layer, "in the next loop"))
    del layer
    gc.collect()
    assert listeners_become(0)


async def test_close_ends_the_connection_and_the_layer_can_be_used_again(
    layer: PostgresChannelLayer,
) -> None:
    await member(layer, "g")
    assert await sync_to_async(listeners_become)(1)
    await layer.close()
    await round_trip(layer, "again")
    assert await sync_to_async(listeners_become)(1)


OTHER_PROCESS = """
import asyncio, sys
import django
from django.conf import settings

settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()

from operations.channel_layer import PostgresChannelLayer

async def main():
    layer = PostgresChannelLayer()
    channel = await layer.new_channel()
    await layer.group_add("there", channel)
    await layer.group_send("here", {"channel": channel})
    for _ in range(2):
        await layer.group_send("here", {"echo": await layer.receive(channel)})

asyncio.run(main())
"""


@pytest.mark.processes
async def test_messages_between_two_processes_reach_group_and_channel(
    layer: PostgresChannelLayer,
) -> None:
    here = await member(layer, "here")
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, connection.settings_dict["NAME"]],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings.test"},
    )
    try:
        [hello] = await receive(layer, here)
        await layer.group_send("there", {"n": 1})
        assert await receive(layer, here) == [{"echo": {"n": 1}}]
        await layer.send(hello["channel"], {"n": 2})
        assert await receive(layer, here) == [{"echo": {"n": 2}}]
        assert await asyncio.to_thread(process.wait, DEADLINE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
