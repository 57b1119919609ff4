"""What every broker outside our database has in common.

Owns: that a cluster's probes stay in our database, that a broker which doesn't answer is
told once and asked again, and the one error that callers see. The brokers themselves
(`redis_broker`, `sqs_broker`) own how a task is put, leased and removed.

A task is leased for `retry` seconds here as well. Enqueueing is no part of the caller's
transaction: `operations.delivery` does it at the commit, and the dispatcher again if it
failed.
"""

from __future__ import annotations

import logging
import time
from typing import ClassVar

from django_q.brokers import Broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf

from operations.queue import heartbeat
from operations.queue.broker import lease_tasks

logger = logging.getLogger("operations.queue")

PAUSE_SECONDS = 1.0

Task = tuple[str, str]


class BrokerUnreachable(Exception):
    """The broker could not be asked, or refused. The message says which and why."""


class RemoteBroker(Broker):
    """Subclasses say what they are called, which errors mean "out of reach", and the four verbs.

    Instances are handed from process to process by fork, so they hold no connection.
    """

    label: ClassVar[str]
    errors: ClassVar[tuple[type[Exception], ...]]

    _is_failing = False

    def _send(self, task: str) -> str:
        raise NotImplementedError

    def _receive(self) -> list[Task]:
        """Lease up to `bulk` tasks: (acknowledgement, payload). Waits a moment if there is none."""
        raise NotImplementedError

    def _remove(self, acknowledgement: str) -> None:
        raise NotImplementedError

    def _size(self) -> int:
        raise NotImplementedError

    # --- as django-q calls it --------------------------------------------------

    def enqueue(self, task: str) -> str:
        """Raises BrokerUnreachable."""
        try:
            return self._send(task)
        except self.errors as error:
            raise BrokerUnreachable(f"{self.label} took no task: {error}") from error

    def dequeue(self) -> list[Task] | list[tuple[int, str]] | None:
        """Lease tasks or, if there are none, the cluster's own probes. None if neither.

        While the broker is out of reach the probes go on: the workers aren't to blame.
        """
        tasks: list[Task] = []
        try:
            tasks = self._receive()
        except self.errors as error:
            if not self._is_failing:
                logger.error("%s can't be reached, asked again and again: %s", self.label, error)
            self._is_failing = True
            time.sleep(PAUSE_SECONDS)
        else:
            if self._is_failing:
                logger.info("%s can be reached again", self.label)
            self._is_failing = False
        if tasks:
            return tasks
        cluster = heartbeat.current_cluster()
        return (lease_tasks([heartbeat.probe_queue(cluster)]) if cluster else []) or None

    def acknowledge(self, task_id: str | int) -> None:
        """Remove a task that was run. Idempotent. One that can't be removed comes back."""
        if isinstance(task_id, int):  # a probe's row
            ORM.get_connection().filter(pk=task_id).delete()
            return
        try:
            self._remove(task_id)
        except self.errors as error:
            logger.warning(
                "%s: a task could not be acknowledged and comes back in %s s: %s",
                self.label,
                Conf.RETRY,
                error,
            )

    def fail(self, task_id: str | int) -> None:
        """Remove a task that can't be read."""
        self.acknowledge(task_id)

    def queue_size(self) -> int:
        """How many tasks wait, about. Raises BrokerUnreachable."""
        try:
            return self._size()
        except self.errors as error:
            raise BrokerUnreachable(f"{self.label} can't be asked: {error}") from error

    def info(self) -> str:
        return self.label
