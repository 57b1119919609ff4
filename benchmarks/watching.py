"""Encore's consumer and the bare one, each with the same number of sockets, in turn.

Owns what runs when, that both have the same beside them (a duplication, its workers, the
same server), and that every socket of ours saw every event in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection
from rest_framework.authtoken.models import Token
from rich.console import Console

from benchmarks import commits
from benchmarks.databases import Databases
from benchmarks.latency import Latency
from benchmarks.replay import Replay, Sent
from benchmarks.sockets import Arrivals, Sockets
from benchmarks.sources import BLOCKS_PER_ITEM, PARTS, Source
from benchmarks.web import WebServer
from benchmarks.workers import Workers
from content.synthetic import make_episode
from duplication.models import Duplication
from duplication.services import start_duplication

DEADLINE_SECONDS = 1_800.0
LAST_EVENT = "duplication.completed"
# Opened and closed again before memory is looked at: code is imported, connections are made.
WARM_UP_SOCKETS = 10
WAYS = ("bare", "ours")


class EventsMissed(Exception):
    """A socket of ours didn't see every event, or not in order."""


@dataclass(frozen=True)
class Watched:
    """One run of one way. Memory and processor time are the web process's."""

    way: str
    run: int
    events: int
    stream_seconds: float
    latency: Latency
    memory_per_socket_kb: float
    web_cpu_seconds: float


class _Seen(NamedTuple):
    arrivals: list[Arrivals]
    memory_per_socket_kb: float
    web_cpu_seconds: float


class WatchingComparison:
    def __init__(self, databases: Databases, console: Console, *, sockets: int, lanes: int) -> None:
        self._databases = databases
        self._console = console
        self._sockets = sockets
        self._lanes = lanes
        self._stream: list[Sent] = []
        self.measurements: list[Watched] = []

    def compare(self, source: Source, *, runs: int) -> None:
        """Ours first, which records what the opponent sends; then the order alternates."""
        with self._console.status(f"Making {source}"), self._databases.source():
            self._prepare(source)
        for run in range(1, runs + 1):
            for way in reversed(WAYS) if run % 2 else WAYS:
                with self._console.status(f"{self._sockets} sockets: {way}, run {run}"):
                    self._databases.restore()
                    watched = (self._ours if way == "ours" else self._bare)(run)
                self.measurements.append(watched)
                self._console.print(
                    f"{way}, run {run}: p95 {watched.latency.p95_ms:.1f} ms, "
                    f"{watched.memory_per_socket_kb:.1f} kB a socket"
                )

    def _prepare(self, source: Source) -> None:
        episode = make_episode(
            parts=PARTS, items=source.items // PARTS, blocks=BLOCKS_PER_ITEM, skewed=False
        )
        self._episode_id = episode.pk
        watcher = get_user_model()._default_manager.create_superuser("watcher")
        self._token = Token.objects.create(user=watcher).key
        commits.note_commits()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) episodes, parts, items, blocks, id_map")

    def _ours(self, run: int) -> Watched:
        duplication = self._start()
        path = f"ws/operations/{duplication.kind}/{duplication.pk}/?after=0"
        seen = self._watch("config.asgi:application", path)
        self._stream = commits.stream_of(duplication)
        check_order(seen.arrivals, self._stream)
        return self._sum_up("ours", run, seen, self._stream)

    def _bare(self, run: int) -> Watched:
        self._start()
        with Replay(self._stream) as replay:
            seen = self._watch("benchmarks.bare:application", "", replay)
            return self._sum_up("bare", run, seen, replay.sent())

    def _start(self) -> Duplication:
        """It waits until there are workers."""
        return start_duplication(
            episode_id=self._episode_id, requested_by=None, lanes=self._lanes
        ).duplication

    def _watch(self, application: str, path: str, replay: Replay | None = None) -> _Seen:
        """Open the sockets, then start what they watch: the workers, and the replay."""
        with WebServer(application) as web:
            url = f"ws://{web.address}/{path}"
            with Sockets(url, count=WARM_UP_SOCKETS, token=self._token, last_event=LAST_EVENT):
                pass
            empty_kb = web.rss_kb
            with Sockets(
                url, count=self._sockets, token=self._token, last_event=LAST_EVENT
            ) as sockets:
                full_kb = web.rss_kb
                cpu_seconds = web.cpu_seconds

                def has_ended() -> bool:
                    return sockets.have_ended() and (replay is None or replay.has_ended())

                with Workers(self._lanes) as workers:
                    if replay:
                        replay.start()
                    workers.wait_until(has_ended, deadline_seconds=DEADLINE_SECONDS)
                return _Seen(
                    arrivals=sockets.arrivals(),
                    memory_per_socket_kb=(full_kb - empty_kb) / self._sockets,
                    web_cpu_seconds=web.cpu_seconds - cpu_seconds,
                )

    def _sum_up(self, way: str, run: int, seen: _Seen, stream: list[Sent]) -> Watched:
        sent_at = {sent.event["sequence"]: sent.at for sent in stream}
        return Watched(
            way=way,
            run=run,
            events=len(stream),
            stream_seconds=stream[-1].at - stream[0].at,
            latency=Latency.of(
                at - sent_at[sequence] for socket in seen.arrivals for sequence, at in socket
            ),
            memory_per_socket_kb=seen.memory_per_socket_kb,
            web_cpu_seconds=seen.web_cpu_seconds,
        )


def check_order(arrivals: list[Arrivals], stream: list[Sent]) -> None:
    expected = [sent.event["sequence"] for sent in stream]
    for socket in arrivals:
        seen = [sequence for sequence, _ in socket]
        if seen != expected:
            raise EventsMissed(f"A socket saw the events {seen} instead of {expected}.")
