"""What watchers read together: few queries, and never less than each would have seen alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from operations import events, shared_reads
from operations.shared_reads import SharedReads, encode_hint
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyOperation

pytestmark = pytest.mark.django_db(transaction=True)

WATCHERS = 50


@pytest.fixture
async def operation() -> AsyncIterator[ToyOperation]:
    yield await sync_to_async(TOY.start)()
    await sync_to_async(connections.close_all)()


@pytest.fixture
def reads(operation: ToyOperation) -> SharedReads:
    return SharedReads("toy", str(operation.pk))


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The `after` of each query for events, whatever thread it is made in."""
    made: list[int] = []
    after = events.after

    def noted(kind: str, operation_id: object, sequence: int) -> Any:
        made.append(sequence)
        return after(kind, operation_id, sequence)

    monkeypatch.setattr(events, "after", noted)
    return made


@sync_to_async
def append(operation: ToyOperation, count: int = 1) -> None:
    with transaction.atomic():
        for _ in range(count):
            events.append(operation, "feedback")


async def test_page_asked_for_by_many_at_once_is_read_once_or_twice(
    operation: ToyOperation, reads: SharedReads, queries: list[int]
) -> None:
    await append(operation, 3)
    pages = await asyncio.gather(*(reads.page(1) for _ in range(WATCHERS)))
    assert [[event.sequence for event in page] for page in pages] == [[2, 3]] * WATCHERS
    assert queries in ([1], [1, 1])


async def test_page_asked_for_by_watchers_at_different_places_is_each_ones_own(
    operation: ToyOperation, reads: SharedReads
) -> None:
    await append(operation, 3)
    pages = await asyncio.gather(*(reads.page(after) for after in (0, 1, 2, 3)))
    assert [[event.sequence for event in page] for page in pages] == [[1, 2, 3], [2, 3], [3], []]


async def test_page_asked_for_while_another_read_runs_sees_what_was_committed_since(
    operation: ToyOperation, reads: SharedReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first read has its rows already: who asks now must not be answered with them."""
    has_read, go_on = asyncio.Event(), asyncio.Event()
    from_table = reads._page_from_table

    async def slow(after: int) -> Any:
        page = await from_table(after)
        has_read.set()
        await go_on.wait()
        return page

    monkeypatch.setattr(reads, "_page_from_table", slow)
    first = asyncio.create_task(reads.page(0))
    await has_read.wait()
    await append(operation)
    second = asyncio.create_task(reads.page(0))
    await asyncio.sleep(0)
    go_on.set()
    assert await first == []
    assert [event.sequence for event in await second] == [1]


async def test_page_watcher_that_leaves_does_not_take_the_read_from_the_others(
    operation: ToyOperation, reads: SharedReads
) -> None:
    await append(operation)
    leaving = asyncio.create_task(reads.page(0))
    staying = asyncio.create_task(reads.page(0))
    await asyncio.sleep(0)
    leaving.cancel()
    assert [event.sequence for event in await staying] == [1]


async def test_snapshot_asked_for_by_many_at_once_is_one_text_of_the_operation_as_it_is(
    operation: ToyOperation, reads: SharedReads
) -> None:
    await append(operation, 2)
    texts = await asyncio.gather(*(reads.snapshot() for _ in range(WATCHERS)))
    assert len({id(text) for text in texts}) <= 2
    assert texts[0] is not None
    message = json.loads(texts[0])
    assert message["type"] == "snapshot"
    assert (message["operation"]["id"], message["operation"]["sequence"]) == (operation.pk, 2)


async def test_snapshot_of_an_operation_that_is_gone_is_none(db: None) -> None:
    assert await SharedReads("toy", "999999999").snapshot() is None
    await sync_to_async(connections.close_all)()


async def test_newest_many_heartbeats_share_one_look(
    operation: ToyOperation, reads: SharedReads, queries: list[int]
) -> None:
    await append(operation, 2)
    found = await asyncio.gather(*(reads.newest() for _ in range(WATCHERS)))
    assert found == [2] * WATCHERS
    assert queries == [0]


async def test_newest_look_that_is_too_old_is_made_anew(
    operation: ToyOperation, reads: SharedReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_reads, "LOOK_SECONDS", 0.0)
    assert await reads.newest() == 0
    await append(operation)
    assert await reads.newest() == 1


async def test_shared_reads_are_one_per_operation_and_gone_with_the_last_holder() -> None:
    first = shared_reads.shared_reads("toy", 1)
    assert shared_reads.shared_reads("toy", "1") is first
    assert shared_reads.shared_reads("toy", 2) is not first
    del first
    assert not [key for key in shared_reads._shared if key[1:] == ("toy", "1")]


def test_encode_hint_other_dict_of_the_same_number_is_not_mistaken_for_it() -> None:
    """Numbers come again, in another operation: only the very same message is known."""
    one, other = {"sequence": 1, "name": "a"}, {"sequence": 1, "name": "b"}
    for _ in range(2):
        assert '"name": "a"' in encode_hint(one)
        assert '"name": "b"' in encode_hint(other)
    assert encode_hint(one) is encode_hint(one)
