"""Keeps one worker cluster running, and the dispatcher beside it.

Owns when the cluster is started, restarted and stopped. A cluster whose workers were
killed can live on without ever running a task again, so the supervisor trusts beats
(`operations.queue.heartbeat`), not processes, and restarts the whole tree of processes
(`operations.queue.tree`), never a part of it.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import django.db

from operations.queue import heartbeat
from operations.queue.tree import ClusterTree

logger = logging.getLogger("operations.queue")

STALL_SECONDS = 30.0
START_SECONDS = 60.0
GRACE_SECONDS = 30.0
BACKOFF_MAX_SECONDS = 30.0
TURN_SECONDS = 1.0
CLEAN_SECONDS = 60.0
POLL_SECONDS = 0.1


class Supervisor:
    """Runs the cluster named `cluster` until SIGTERM or SIGINT.

    `dispatch` is called every second; whatever it raises is logged once, until it works
    again. A cluster is stalled when a probe has waited and nothing has beaten for
    `stall_seconds`; one that has only just been started has a minute for its first beat.
    """

    def __init__(
        self,
        *,
        cluster: str,
        workers: int,
        dispatch: Callable[[], int],
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._dispatch = dispatch
        self._stall_seconds = stall_seconds
        self._probe_after_seconds = stall_seconds / 6
        self._tree: ClusterTree | None = None
        self._signals = 0
        self._start_at = time.monotonic()
        self._clean_at = time.monotonic()
        # Of the present tree: has it run anything, and since when has it been asked to?
        self._has_beaten = False
        self._last_beat: heartbeat.Beat | None = None
        self._asked_at: float | None = None
        self._pause_seconds = 0.0
        self._failing: set[str] = set()

    def run(self) -> None:
        """Register, supervise, stop in order. Raises ClusterNameTaken.

        The first signal lets the workers finish, for half a minute at most; a second one
        kills at once. Either way no process is left. For a main thread only.
        """
        heartbeat.register(self._cluster, workers=self._workers)
        handlers = {
            number: signal.signal(number, self._count_signal)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        turn_at = time.monotonic()
        try:
            while not self._signals:
                self._keep_running()
                if time.monotonic() >= turn_at:
                    turn_at = time.monotonic() + TURN_SECONDS
                    self._take_turn()
                time.sleep(POLL_SECONDS)
        finally:
            self._stop()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _count_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    # --- the cluster -----------------------------------------------------------

    def _keep_running(self) -> None:
        if self._tree is None:
            if time.monotonic() >= self._start_at:
                self._start()
        elif not self._tree.is_running():
            self._end_tree("its main process has ended")

    def _start(self) -> None:
        self._has_beaten = False
        self._last_beat = None
        self._asked_at = None
        self._tree = ClusterTree(cluster=self._cluster, workers=self._workers)
        logger.info(
            "Cluster %s: started, %s workers, process %s",
            self._cluster,
            self._workers,
            self._tree.pid,
        )

    def _end_tree(self, reason: str) -> None:
        """Kill what is left of the tree and plan the next start.

        At once if the tree did some work, else with a pause that doubles.
        """
        if self._has_beaten:
            self._pause_seconds = 0.0
        else:
            self._pause_seconds = min(max(1.0, 2 * self._pause_seconds), BACKOFF_MAX_SECONDS)
        logger.warning(
            "Cluster %s: %s; restart in %.0f s", self._cluster, reason, self._pause_seconds
        )
        self._kill()
        self._start_at = time.monotonic() + self._pause_seconds
        with self._surviving("database", django.db.Error):
            heartbeat.count_restart(self._cluster)
            # What the dead tree had dequeued would count as a probe under way.
            heartbeat.remove_probes(self._cluster)

    def _kill(self) -> None:
        if self._tree is not None:
            if stuck := self._tree.kill():
                logger.error("Cluster %s: processes %s won't die", self._cluster, stuck)
            self._tree = None

    def _stop(self) -> None:
        if self._tree is not None:
            logger.info("Cluster %s: stopping, its workers finish their tasks", self._cluster)
            deadline = time.monotonic() + GRACE_SECONDS
            self._tree.terminate()
            while self._tree.is_running() and self._signals < 2 and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            if self._tree.is_running():
                logger.warning("Cluster %s: killed before it had finished", self._cluster)
            self._kill()
        with self._surviving("database", django.db.Error):
            heartbeat.remove(self._cluster)
        logger.info("Cluster %s: stopped", self._cluster)

    # --- once a second ---------------------------------------------------------

    def _take_turn(self) -> None:
        with self._surviving("database", django.db.Error):
            django.db.close_old_connections()
            self._check_beat()
            self._clean_up()
        # Whatever goes wrong in dispatching is no reason to take the workers down.
        with self._surviving("dispatcher", Exception):
            self._dispatch()

    def _check_beat(self) -> None:
        """Probe the cluster if it is quiet, restart it if it stays so.

        The time is counted from when this process asked, not from the beat's age: after
        an outage of the database every beat is old and no cluster is to blame.
        """
        if self._tree is None:
            return
        beat = heartbeat.read(self._cluster)
        if beat is None:
            # Taken for dead by another supervisor: this machine slept for long.
            heartbeat.register(self._cluster, workers=self._workers)
            return
        has_moved = self._last_beat is not None and beat.at > self._last_beat.at
        self._last_beat = beat
        self._has_beaten = self._has_beaten or has_moved
        if has_moved or "database" in self._failing:
            self._asked_at = None
        if self._has_beaten and beat.age_seconds < self._probe_after_seconds:
            return
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        heartbeat.send_probe(self._cluster)
        patience = self._stall_seconds - self._probe_after_seconds
        if not self._has_beaten:
            patience = max(self._stall_seconds, START_SECONDS)
        if now - self._asked_at > patience:
            self._end_tree(f"asked for {now - self._asked_at:.0f} s, no worker beat")

    def _clean_up(self) -> None:
        if time.monotonic() >= self._clean_at:
            self._clean_at = time.monotonic() + CLEAN_SECONDS
            heartbeat.remove_dead()

    @contextmanager
    def _surviving(self, part: str, errors: type[Exception]) -> Iterator[None]:
        """Go on after an error of `part`. Logged when it begins and when it ends."""
        try:
            yield
        except errors as error:
            if part not in self._failing:
                self._failing.add(part)
                logger.error(
                    "Cluster %s: %s fails, supervising goes on: %s",
                    self._cluster,
                    part,
                    error,
                    exc_info=not isinstance(error, django.db.Error),
                )
        else:
            if part in self._failing:
                self._failing.remove(part)
                logger.info("Cluster %s: %s works again", self._cluster, part)
