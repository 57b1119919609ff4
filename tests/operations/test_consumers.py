"""Watching over the websocket application as it is served, on a real channel layer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers, get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.test import Client
from rest_framework.authtoken.models import Token

from config.asgi import application
from duplication.models import Duplication
from duplication.services import start_duplication
from operations import consumers, events, runner
from operations.channel_layer import POSTGRES_CHANNEL, PostgresChannelLayer
from operations.gates.load import state
from operations.gates.load.reading import Figure
from operations.models import Event
from tests.duplication.driving import run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory
from tests.operations.load.collectors import Says

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE_SECONDS = 20
ORIGIN = "http://localhost"


@pytest.fixture(autouse=True)
async def layer() -> AsyncIterator[PostgresChannelLayer]:
    """The project's own layer; at the end nothing holds a connection to the test database."""
    channel_layers.backends.clear()
    layer = get_channel_layer()
    assert isinstance(layer, PostgresChannelLayer)
    yield layer
    await layer.close()
    await sync_to_async(connections.close_all)()


@pytest.fixture
def owner() -> User:
    return UserFactory(permissions=["add_duplication"])


@pytest.fixture
def duplication(owner: User) -> Duplication:
    episode = BlockFactory(item__part__episode__owner=owner).item.part.episode
    started, _ = start_duplication(episode_id=episode.pk, requested_by=owner)
    return started


class Watcher(WebsocketCommunicator):
    """A client of the socket."""

    async def message(self) -> dict[str, Any]:
        received: dict[str, Any] = await self.receive_json_from(DEADLINE_SECONDS)
        return received

    async def sequences(self, count: int) -> list[int]:
        """The numbers of the next `count` messages, which must be events."""
        found = []
        for _ in range(count):
            message = await self.message()
            assert message["type"] == "event", message
            found.append(message["event"]["sequence"])
        return found

    async def close_code(self) -> int:
        answer = await self.receive_output(DEADLINE_SECONDS)
        assert answer["type"] == "websocket.close", answer
        return int(answer["code"])


def session_of(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    return {"cookie": f"sessionid={client.cookies[settings.SESSION_COOKIE_NAME].value}"}


def token_of(user: User) -> dict[str, str]:
    return {"authorization": f"Token {Token.objects.create(user=user).key}"}


def path_of(operation: Duplication, query: str = "") -> str:
    return f"/ws/operations/{operation.kind}/{operation.pk}/{query}"


def watcher(path: str, *, origin: str | None = ORIGIN, **headers: str) -> Watcher:
    if origin:
        headers["origin"] = origin
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Watcher(application, path, headers=encoded)


@asynccontextmanager
async def watching(
    operation: Duplication, user: User, query: str = ""
) -> AsyncIterator[tuple[Watcher, dict[str, Any]]]:
    """A watcher that was let in, and the snapshot it was sent first."""
    headers = await sync_to_async(session_of)(user)
    client = watcher(path_of(operation, query), **headers)
    assert (await client.connect(DEADLINE_SECONDS))[0]
    try:
        first = await client.message()
        assert first["type"] == "snapshot"
        yield client, first["operation"]
    finally:
        await client.disconnect(timeout=DEADLINE_SECONDS)


async def refusal(client: Watcher) -> int:
    """The code with which a watcher that was let in is sent away."""
    assert (await client.connect(DEADLINE_SECONDS))[0]
    return await client.close_code()


@sync_to_async
def append(operation: Duplication, count: int = 1, *, commit: bool = True, text: str = "") -> None:
    with transaction.atomic():
        for number in range(count):
            events.append(operation, "feedback", payload={"number": number, "text": text})
        if not commit:
            transaction.set_rollback(True)


# --- who may watch ------------------------------------------------------------------


async def test_anonymous_is_sent_away(duplication: Duplication) -> None:
    assert await refusal(watcher(path_of(duplication))) == 4401


async def test_watcher_that_was_sent_away_is_told_nothing_when_the_layer_resyncs(
    duplication: Duplication, layer: PostgresChannelLayer
) -> None:
    await append(duplication, 2)
    client = watcher(path_of(duplication))
    assert await refusal(client) == 4401
    listener = layer._listeners[asyncio.get_running_loop()]
    listener.local.resync()
    assert await client.receive_nothing(timeout=0.2)
    await client.disconnect()


async def test_somebody_else_is_sent_away_as_from_what_does_not_exist(
    duplication: Duplication,
) -> None:
    stranger = await sync_to_async(UserFactory)()
    headers = await sync_to_async(session_of)(stranger)
    assert await refusal(watcher(path_of(duplication), **headers)) == 4404
    unknowns = ("999999999", 10**30, "x", "0198f000-0000-7000-8000-000000000000")
    for unknown in ("nothing/1", *(f"duplication/{each}" for each in unknowns)):
        assert await refusal(watcher(f"/ws/operations/{unknown}/", **headers)) == 4404


@pytest.mark.parametrize("path", ["/ws/nothing", "/ws/operations/duplication/x/y/", "/"])
async def test_path_where_nothing_is_is_not_let_in(owner: User, path: str) -> None:
    headers = await sync_to_async(session_of)(owner)
    connected, _ = await watcher(path, **headers).connect(DEADLINE_SECONDS)
    assert not connected


async def test_holder_of_the_view_permission_may_watch(duplication: Duplication) -> None:
    viewer = await sync_to_async(UserFactory)(permissions=["view_duplication"])
    async with watching(duplication, viewer) as (_, snapshot):
        assert snapshot["id"] == duplication.pk


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 5000, "%FF", "²"])
async def test_after_what_is_no_sequence_number_is_sent_away(
    duplication: Duplication, owner: User, after: str
) -> None:
    headers = await sync_to_async(session_of)(owner)
    client = watcher(path_of(duplication, f"?after={after}"), **headers)
    assert await refusal(client) == 4400


@pytest.mark.parametrize("origin", ["http://evil.example.org", "null", None])
async def test_session_from_another_origin_is_not_let_in(
    duplication: Duplication, owner: User, origin: str | None
) -> None:
    headers = await sync_to_async(session_of)(owner)
    client = watcher(path_of(duplication), origin=origin, **headers)
    connected, _ = await client.connect(DEADLINE_SECONDS)
    assert not connected


@pytest.mark.parametrize("origin", [ORIGIN, None])
async def test_script_with_its_token_may_watch_and_needs_no_origin(
    duplication: Duplication, owner: User, origin: str | None
) -> None:
    headers = await sync_to_async(token_of)(owner)
    client = watcher(path_of(duplication), origin=origin, **headers)
    assert (await client.connect(DEADLINE_SECONDS))[0]
    assert (await client.message())["type"] == "snapshot"
    await client.disconnect()


@pytest.mark.parametrize("key", ["nope", "", "a\0b"])
async def test_wrong_token_is_anonymous_even_with_a_session(
    duplication: Duplication, owner: User, key: str
) -> None:
    headers = await sync_to_async(session_of)(owner)
    client = watcher(path_of(duplication), authorization=f"Token {key}", **headers)
    assert await refusal(client) == 4401


async def test_token_of_an_inactive_user_is_anonymous(
    duplication: Duplication, owner: User
) -> None:
    headers = await sync_to_async(token_of)(owner)
    await User.objects.filter(pk=owner.pk).aupdate(is_active=False)
    assert await refusal(watcher(path_of(duplication), **headers)) == 4401


# --- snapshot and replay --------------------------------------------------------------


async def test_watcher_without_after_gets_the_snapshot_and_nothing_old(
    duplication: Duplication, owner: User
) -> None:
    await append(duplication, 3)
    async with watching(duplication, owner) as (client, snapshot):
        assert (snapshot["status"], snapshot["sequence"]) == ("pending", 3)
        await append(duplication)
        assert await client.sequences(1) == [4]


async def test_watcher_with_after_is_replayed_what_it_missed_in_order(
    duplication: Duplication, owner: User
) -> None:
    await append(duplication, 5)
    async with watching(duplication, owner, "?after=2") as (client, snapshot):
        assert snapshot["sequence"] == 5
        assert await client.sequences(3) == [3, 4, 5]
        await append(duplication)
        assert await client.sequences(1) == [6]


async def test_watcher_with_after_from_the_future_goes_on_from_the_snapshot(
    duplication: Duplication, owner: User
) -> None:
    await append(duplication, 2)
    async with watching(duplication, owner, "?after=99") as (client, _):
        await append(duplication)
        assert await client.sequences(1) == [3]


async def test_replay_of_more_than_a_page_has_no_gap(duplication: Duplication, owner: User) -> None:
    await append(duplication, consumers.REPLAY_PAGE + 100)
    async with watching(duplication, owner, "?after=0") as (client, _):
        expected = list(range(1, consumers.REPLAY_PAGE + 101))
        assert await client.sequences(len(expected)) == expected


async def test_event_between_joining_and_reading_arrives_once(
    duplication: Duplication,
    owner: User,
    layer: PostgresChannelLayer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Committed when the watcher has joined and has not read: both ways lead to it."""
    join = layer.group_add

    async def join_then_append(group: str, channel: str) -> None:
        await join(group, channel)
        await append(duplication)

    monkeypatch.setattr(layer, "group_add", join_then_append)
    async with watching(duplication, owner, "?after=0") as (client, snapshot):
        assert snapshot["sequence"] == 1
        assert await client.sequences(1) == [1]
        await append(duplication)
        assert await client.sequences(1) == [2]


async def test_event_between_snapshot_and_replay_arrives_once(
    duplication: Duplication, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot_then_append(operation: Duplication) -> dict[str, Any]:
        state = make_snapshot(operation)
        with transaction.atomic():
            events.append(operation, "feedback")
        return state

    make_snapshot = consumers.snapshot
    monkeypatch.setattr(consumers, "snapshot", snapshot_then_append)
    async with watching(duplication, owner) as (client, snapshot):
        assert snapshot["sequence"] == 0
        assert await client.sequences(1) == [1]
        await append(duplication)
        assert await client.sequences(1) == [2]


# --- live -------------------------------------------------------------------------------


async def test_events_of_a_run_arrive_live_up_to_its_end(
    duplication: Duplication, owner: User
) -> None:
    async with watching(duplication, owner) as (client, _):
        await sync_to_async(run_to_end)(duplication)
        names = []
        for number in range(1, duplication.event_sequence + 1):
            event = (await client.message())["event"]
            assert event["sequence"] == number
            names.append(event["name"])
    assert names[0] == "duplication.started"
    assert names[-1] == "duplication.completed"


async def test_events_of_a_rolled_back_transaction_never_arrive(
    duplication: Duplication, owner: User
) -> None:
    async with watching(duplication, owner) as (client, _):
        await append(duplication, commit=False, text="rolled back")
        await append(duplication, text="committed")
        event = (await client.message())["event"]
        assert (event["sequence"], event["payload"]["text"]) == (1, "committed")


async def test_events_of_other_operations_do_not_arrive(
    duplication: Duplication, owner: User
) -> None:
    episode = await sync_to_async(EpisodeFactory)(owner=owner)
    other, _ = await sync_to_async(start_duplication)(episode_id=episode.pk, requested_by=owner)
    async with watching(duplication, owner) as (client, _):
        await append(other, 3)
        await append(duplication, text="mine")
        assert (await client.message())["event"]["payload"]["text"] == "mine"


async def test_event_too_large_for_a_hint_is_read_from_the_table(
    duplication: Duplication, owner: User
) -> None:
    text = "x" * (events.MAX_HINT_BYTES + 1)
    async with watching(duplication, owner) as (client, _):
        await append(duplication, text=text)
        assert (await client.message())["event"]["payload"]["text"] == text


async def test_hints_lost_doubled_and_late_still_give_each_event_once(
    duplication: Duplication, owner: User, layer: PostgresChannelLayer
) -> None:
    """Rows whose hints are lost, then hints in no order: the table is what counts."""
    group = events.group_name(duplication.kind, duplication.pk)

    async def hint(sequence: int) -> None:
        event = await Event.objects.aget(operation_id=str(duplication.pk), sequence=sequence)
        await layer.group_send(group, {"type": "operation.event", "event": event.as_message()})

    async with watching(duplication, owner) as (client, _):
        await append_unheard(duplication, 4)
        for sequence in (2, 2, 1, 4, 3):
            await hint(sequence)
        await append(duplication)
        assert await client.sequences(5) == [1, 2, 3, 4, 5]


@sync_to_async
def append_unheard(operation: Duplication, count: int) -> None:
    """Events whose hints never reach anybody."""
    operation.refresh_from_db()
    for _ in range(count):
        operation.event_sequence += 1
        Event.objects.create(
            kind=operation.kind,
            operation_id=str(operation.pk),
            sequence=operation.event_sequence,
            name="duplication.feedback",
        )
    operation.save(update_fields=["event_sequence"])


async def test_wait_that_is_prolonged_comes_as_a_snapshot_with_the_new_time(
    duplication: Duplication, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no event for it, but the page says when it looks again: that must stay true."""
    busy = Says(Figure(95), Figure(91))
    busy.read_again_after_seconds = 0.0
    monkeypatch.setattr(state, "COLLECTORS", (busy,))

    @sync_to_async
    def look() -> None:
        duplication.jobs.update(not_before=None)
        assert runner.run("duplication", duplication.jobs.get().pk) == runner.Outcome.WAITING

    async with watching(duplication, owner) as (client, _):
        await look()
        assert await client.sequences(1) == [1]
        first = (await client.message())["event"]
        assert first["name"] == "duplication.waiting"

        await look()
        message = await client.message()

    assert message["type"] == "snapshot"
    assert message["operation"]["sequence"] == first["sequence"]
    waiting = message["operation"]["waiting"]
    assert waiting["reason"] == "Database CPU 91% > 80%."
    assert waiting["until"] > first["payload"]["until"]


async def test_resync_makes_the_watcher_read_what_it_missed(
    duplication: Duplication, owner: User, layer: PostgresChannelLayer
) -> None:
    async with watching(duplication, owner) as (client, _):
        await append_unheard(duplication, 2)
        group = events.group_name(duplication.kind, duplication.pk)
        await layer.group_send(group, {"type": "channel.resync"})
        assert await client.sequences(2) == [1, 2]


async def test_heartbeat_reads_what_no_hint_told_of(
    duplication: Duplication, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.05)
    async with watching(duplication, owner) as (client, _):
        assert await client.message() == {"type": "heartbeat", "sequence": 0}
        await append_unheard(duplication, 2)
        seen = []
        while len(seen) < 2:
            message = await client.message()
            if message["type"] == "event":
                seen.append(message["event"]["sequence"])
        assert seen == [1, 2]
        assert await client.message() == {"type": "heartbeat", "sequence": 2}


@pytest.mark.parametrize("words", ["{broken", '{"type": "snapshot"}'])
async def test_words_of_the_client_are_ignored(
    duplication: Duplication, owner: User, words: str
) -> None:
    async with watching(duplication, owner) as (client, _):
        await client.send_to(text_data=words)
        await client.send_to(bytes_data=b"\xff")
        await append(duplication)
        assert await client.sequences(1) == [1]


# --- how it ends --------------------------------------------------------------------------


async def test_watcher_that_leaves_is_no_member_any_more(
    duplication: Duplication, owner: User, layer: PostgresChannelLayer
) -> None:
    left = []
    discard = layer.group_discard

    async def noted(group: str, channel: str) -> None:
        left.append(group)
        await discard(group, channel)

    layer.group_discard = noted  # type: ignore[method-assign]  # an observer, of this layer alone
    async with watching(duplication, owner):
        assert left == []
    assert left == [events.group_name(duplication.kind, duplication.pk)]


@asynccontextmanager
async def no_database() -> AsyncIterator[None]:
    """As when the server is gone: each query of the consumers' thread fails."""

    def refuse(*arguments: Any) -> Any:
        with connection.wrap_database_errors:
            raise connection.Database.OperationalError("server closed the connection")

    @sync_to_async
    def set_wrapper(wrappers: list[Callable[..., Any]]) -> None:
        connection.execute_wrappers[:] = wrappers

    await set_wrapper([refuse])
    try:
        yield
    finally:
        await set_wrapper([])


def notify_elsewhere(payload: str) -> None:
    """A notification over a connection that has nothing to do with the consumers'."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [POSTGRES_CHANNEL, payload])
    finally:
        other.close()


@pytest.mark.parametrize("heartbeat_seconds", [0.05, 60])
async def test_watcher_is_sent_to_come_back_when_the_database_does_not_answer(
    duplication: Duplication,
    owner: User,
    layer: PostgresChannelLayer,
    monkeypatch: pytest.MonkeyPatch,
    heartbeat_seconds: float,
) -> None:
    """Found out by a heartbeat, or by a message that makes it read."""
    monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", heartbeat_seconds)
    headers = await sync_to_async(session_of)(owner)
    client = watcher(path_of(duplication), **headers)
    assert (await client.connect(DEADLINE_SECONDS))[0]
    assert (await client.message())["type"] == "snapshot"
    async with no_database():
        if heartbeat_seconds > 1:
            group = events.group_name(duplication.kind, duplication.pk)
            await asyncio.to_thread(notify_elsewhere, f'{group} {{"type": "channel.resync"}}')
        answer = await client.receive_output(DEADLINE_SECONDS)
        while answer["type"] == "websocket.send":  # heartbeats from before
            answer = await client.receive_output(DEADLINE_SECONDS)
    assert (answer["type"], answer["code"]) == ("websocket.close", 4503)
    await client.disconnect()
