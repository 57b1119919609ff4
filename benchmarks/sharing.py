"""Everyday work alone, beside a duplication, and the duplication alone, in turn.

Owns what runs when. Doesn't own how the copy is made (ours) nor the everyday work (oltp).
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, cast

from django.db import connection
from rich.console import Console

from benchmarks import ours
from benchmarks.databases import Databases
from benchmarks.latency import Latency
from benchmarks.oltp import Oltp, Transaction
from benchmarks.sharing_figures import ALONE, BESIDE, UNGATED, Copied, Worked
from benchmarks.sources import BLOCKS_PER_ITEM, PARTS, Source
from benchmarks.workers import Workers
from content.synthetic import make_episode
from duplication.models import Duplication

# Caches are filled and statements are prepared before delays count.
WARM_UP_SECONDS = 3.0
DEADLINE_SECONDS = 3_600.0


class Gate(NamedTuple):
    """The settings that make a duplication leave the database to others."""

    share_percent: int
    step_target_ms: int
    max_active_sessions: int

    @contextmanager
    def on(self) -> Iterator[None]:
        """Workers that are started in here have them."""
        variables = {
            "LOAD_SHARE_PERCENT": self.share_percent,
            "LOAD_MAX_ACTIVE_SESSIONS": self.max_active_sessions,
            "OPERATION_STEP_TARGET_MS": self.step_target_ms,
        }
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update({name: str(value) for name, value in variables.items()})
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


class SharingComparison:
    def __init__(
        self,
        databases: Databases,
        console: Console,
        *,
        gate: Gate,
        per_second: float,
        alone_seconds: float,
        lanes: int,
    ) -> None:
        self._databases = databases
        self._console = console
        self._gate = gate
        self._per_second = per_second
        self._alone_seconds = alone_seconds
        self._lanes = lanes
        self.worked: list[Worked] = []
        self.copied: list[Copied] = []

    def compare(self, source: Source, *, neighbour: Source, runs: int) -> None:
        with self._console.status(f"Making {source}"), self._databases.source():
            self._episode_id = _make(source)
            self._neighbour_id = _make(neighbour)
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE) episodes, parts, items, blocks, id_map")
        for run in range(1, runs + 1):
            for name, measure in self._ways().items():
                with self._console.status(f"{name}, run {run}"):
                    self._databases.restore()
                    measure(run)

    def _ways(self) -> dict[str, Callable[[int], object]]:
        return {
            "everyday work alone": self._work_alone,
            "everyday work beside a duplication": lambda run: self._work_beside(run, BESIDE),
            "the same with the gate off": lambda run: self._work_beside(run, UNGATED),
            "a duplication alone": lambda run: self._copy(run, ALONE),
        }

    def _work_alone(self, run: int) -> None:
        """Beside workers that have nothing to do: they are there all day."""
        with Workers(self._lanes) as workers, self._oltp() as oltp:
            begun = time.time() + WARM_UP_SECONDS
            ended = begun + self._alone_seconds
            workers.wait_until(lambda: time.time() > ended, deadline_seconds=DEADLINE_SECONDS)
            self._count(run, ALONE, oltp.stop(), begun, ended)

    def _work_beside(self, run: int, way: str) -> None:
        with self._oltp() as oltp:
            time.sleep(WARM_UP_SECONDS)
            begun, ended = self._copy(run, way)
            self._count(run, way, oltp.stop(), begun, ended)

    def _oltp(self) -> Oltp:
        return Oltp(
            self._databases.run_url, episode_id=self._neighbour_id, per_second=self._per_second
        )

    def _copy(self, run: int, way: str) -> tuple[float, float]:
        """Copy, and answer from when to when the workers were at it."""
        with self._gate.on() if way == BESIDE else nullcontext():
            timing = ours.copy_episode(self._episode_id, lanes=self._lanes)
        duplication = Duplication.objects.get()
        # A completed one has both.
        started_at, ended_at = cast(
            tuple[dt.datetime, dt.datetime], (duplication.started_at, duplication.ended_at)
        )
        copied = Copied(
            way,
            run,
            seconds=(ended_at - started_at).total_seconds(),
            waited_seconds=timing.waited_seconds or 0.0,
        )
        self.copied.append(copied)
        self._console.print(
            f"duplication {way}, run {run}: {copied.seconds:.1f} s, "
            f"of which {copied.waited_seconds:.1f} s waiting"
        )
        return started_at.timestamp(), ended_at.timestamp()

    def _count(
        self, run: int, way: str, done: list[Transaction], begun: float, ended: float
    ) -> None:
        counted = [t for t in done if begun <= t.due_at < ended]
        latency = Latency.of(t.delay_seconds for t in counted)
        by_kind = {
            kind: Latency.of(t.delay_seconds for t in counted if t.kind == kind)
            for kind in dict.fromkeys(t.kind for t in counted)
        }
        self.worked.append(Worked(way, run, latency, by_kind))
        self._console.print(
            f"everyday work {way}, run {run}: p50 {latency.p50_ms:.1f} ms, "
            f"p95 {latency.p95_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms"
        )


def _make(source: Source) -> int:
    episode = make_episode(
        parts=PARTS, items=source.items // PARTS, blocks=BLOCKS_PER_ITEM, skewed=False
    )
    return episode.pk
