"""Everyday work on the content tables, at a fixed rate, in a process of its own.

Both sides: `Oltp` starts the process; `python -m benchmarks.oltp` is it. The load is open:
each transaction is due at its own time and its delay counts from then, whether or not
those before it are done, so a server that stalls is seen to stall. Knows no Django.

Seven in ten transactions read a page of blocks, as an episode's page does; two edit one
block; one adds a block.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, cast

import psycopg

CONNECTIONS = 16
OPEN_SECONDS = 30.0
SEED = 20
MIX = ("read",) * 7 + ("edit",) * 2 + ("add",)
STATEMENTS = {
    "read": (
        "SELECT id, position, name, field_1, field_2, field_3, media FROM blocks"
        " WHERE item_id = %(item)s ORDER BY position, id LIMIT 50"
    ),
    "edit": "UPDATE blocks SET field_2 = %(text)s, updated_at = now() WHERE id = %(block)s",
    "add": (
        "INSERT INTO blocks (item_id, position, name, field_1, field_2, created_at, updated_at)"
        " VALUES (%(item)s, 0, 'Added', 'html', %(text)s, now(), now())"
    ),
}


class OltpFailed(Exception):
    """The process ended by itself."""


class Transaction(NamedTuple):
    """`due_at` is seconds since the epoch; the delay counts from there to the commit's answer."""

    kind: str
    due_at: float
    delay_seconds: float


class Oltp:
    """`per_second` transactions on the episode's blocks inside the `with` block."""

    def __init__(self, url: str, *, episode_id: int, per_second: float) -> None:
        self._command = [
            *(sys.executable, "-m", "benchmarks.oltp", "--url", url),
            *("--episode", str(episode_id), "--per-second", str(per_second)),
        ]

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="encore-oltp-")
        self._output = Path(self._folder.name) / "transactions.json"
        self._process = subprocess.Popen(
            [*self._command, "--output", str(self._output)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if cast(IO[str], self._process.stdout).readline() != "running\n":
            self._leave()
            raise OltpFailed("The transactions could not be started; the error is above.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def stop(self) -> list[Transaction]:
        """Make no more, wait for those under way, and return them all. Raises OltpFailed."""
        self._process.communicate()  # closes its input
        if self._process.returncode:
            raise OltpFailed("The transactions ended with an error; it is above.")
        return [Transaction(*fields) for fields in json.loads(self._output.read_text())]

    def _leave(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


# --- the process ----------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oltp")
    parser.add_argument("--url", required=True)
    parser.add_argument("--episode", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    done = asyncio.run(_run(options.url, options.episode, options.per_second))
    options.output.write_text(json.dumps(done))
    return 0


class Rows(NamedTuple):
    """What the transactions are about."""

    items: list[int]
    first_block: int
    last_block: int


async def _run(url: str, episode: int, per_second: float) -> list[Transaction]:
    loop = asyncio.get_running_loop()
    connections = [
        await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(CONNECTIONS)
    ]
    rows = await _rows(connections[0], episode)
    queue: asyncio.Queue[tuple[str, float, dict[str, Any]] | None] = asyncio.Queue()
    done: list[Transaction] = []
    stopped = loop.run_in_executor(None, sys.stdin.read)
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(_work(connection, queue, done))
        sys.stdout.write("running\n")
        sys.stdout.flush()
        await _offer(queue, rows, per_second, stopped)
        for _ in connections:
            queue.put_nowait(None)
    for connection in connections:
        await connection.close()
    return done


async def _rows(connection: psycopg.AsyncConnection[Any], episode: int) -> Rows:
    tree = (
        " FROM parts JOIN items ON items.part_id = parts.id"
        " JOIN blocks ON blocks.item_id = items.id WHERE parts.episode_id = %s"
    )
    items = await connection.execute("SELECT DISTINCT items.id" + tree + " ORDER BY 1", [episode])
    ids = [item for (item,) in await items.fetchall()]
    blocks = await connection.execute("SELECT min(blocks.id), max(blocks.id)" + tree, [episode])
    first, last = await blocks.fetchone() or (0, 0)
    return Rows(ids, first, last)


async def _offer(
    queue: asyncio.Queue[tuple[str, float, dict[str, Any]] | None],
    rows: Rows,
    per_second: float,
    stopped: asyncio.Future[str],
) -> None:
    """Queue each transaction at its time, until the parent closes our input."""
    chance = random.Random(SEED)  # noqa: S311 - the same transactions in each run
    begin = time.time()
    number = 0
    while not stopped.done():
        due_at = begin + number / per_second
        await asyncio.sleep(max(due_at - time.time(), 0))
        about = {
            "item": chance.choice(rows.items),
            "block": chance.randint(rows.first_block, rows.last_block),
            "text": f"<p>Edited, number {number}.</p>",
        }
        queue.put_nowait((chance.choice(MIX), due_at, about))
        number += 1


async def _work(
    connection: psycopg.AsyncConnection[Any],
    queue: asyncio.Queue[tuple[str, float, dict[str, Any]] | None],
    done: list[Transaction],
) -> None:
    while offered := await queue.get():
        kind, due_at, about = offered
        cursor = await connection.execute(STATEMENTS[kind], about)
        if kind == "read":
            await cursor.fetchall()
        done.append(Transaction(kind, due_at, time.time() - due_at))


if __name__ == "__main__":
    sys.exit(main())
