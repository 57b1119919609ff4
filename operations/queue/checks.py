"""System checks of the queue's settings: combinations that lose or repeat work.

Owns the arithmetic between the values; docs/decisions/0004-queue.md says why each value
is what it is. Run with every command, `run_workers` included. Reads the settings, not
django-q's copy of them. What a broker needs beside is checked here as well; whether it
answers isn't.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db import DEFAULT_DB_ALIAS

TAG = "queue"
BROKER = "operations.queue.broker.SkipLockedBroker"

# A task that overstays `timeout` is killed by the sentinel up to this much later: its
# three seconds of courtesy, its guard cycle, and the time to fork another worker.
KILL_SECONDS = 5

SQS_MAX_VISIBILITY_SECONDS = 12 * 60 * 60
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
SQS_NAME = r"[A-Za-z0-9_-]{1,80}"


@register(TAG)
def check_queue(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    queue: Mapping[str, Any] = settings.Q_CLUSTER
    return [
        *_check_broker(queue),
        *_check_lease(queue),
        *_check_pool(),
        *_check_database(queue),
        *_check_acknowledgement(queue),
        *_check_time_budget(queue),
        *_check_save_limit(queue),
    ]


def minimal_retry(*, timeout: int, workers: int, queue_limit: int, bulk: int) -> int:
    """The longest that a leased task may legitimately stay unacknowledged, in seconds.

    The lease starts at dequeue. The last of `bulk` tasks just dequeued stands in line
    behind `queue_limit` prefetched ones while every worker is busy: it starts after
    ceil((queue_limit + bulk) / workers) tasks have had their full time one after the
    other, then has its own.
    """
    turns = math.ceil((queue_limit + bulk) / workers) + 1
    return turns * (timeout + KILL_SECONDS)


def _check_broker(queue: Mapping[str, Any]) -> Iterator[Error]:
    known = settings.QUEUE_BROKERS
    if settings.QUEUE_BROKER not in known:
        yield Error(
            f"QUEUE_BROKER is {settings.QUEUE_BROKER!r}: there is no such broker.",
            hint=f"Set QUEUE_BROKER, in the environment or in .env, to one of {', '.join(known)}.",
            id="operations.E008",
        )
    elif settings.QUEUE_BROKER == "redis" and not queue["redis"].startswith(REDIS_SCHEMES):
        yield Error(
            "QUEUE_BROKER is 'redis', but REDIS_URL doesn't say where Redis is.",
            hint="Set REDIS_URL, for example to redis://127.0.0.1:6379/0, or QUEUE_BROKER to orm.",
            id="operations.E009",
        )
    elif settings.QUEUE_BROKER == "sqs":
        yield from _check_sqs(queue)


def _check_sqs(queue: Mapping[str, Any]) -> Iterator[Error]:
    if not re.fullmatch(SQS_NAME, queue["name"]):
        yield Error(
            f"QUEUE_NAME is {queue['name']!r}: SQS has no standard queue of such a name.",
            hint="Set QUEUE_NAME to 1 to 80 letters, digits, dashes and underscores.",
            id="operations.E010",
        )
    if (queue.get("retry") or 0) > SQS_MAX_VISIBILITY_SECONDS:
        yield Error(
            f"Q_CLUSTER['retry'] is {queue['retry']} s, but SQS hides a message for at most "
            f"{SQS_MAX_VISIBILITY_SECONDS} s.",
            hint=f"Set QUEUE_RETRY_SECONDS to {SQS_MAX_VISIBILITY_SECONDS} or less.",
            id="operations.E011",
        )


def _check_lease(queue: Mapping[str, Any]) -> Iterator[Error]:
    missing = [
        name
        for name in ("timeout", "retry", "workers", "queue_limit", "bulk")
        if not isinstance(queue.get(name), int) or queue[name] < 1
    ]
    if missing:
        yield Error(
            f"Q_CLUSTER must set {', '.join(missing)} to a whole number above 0.",
            hint="Without a timeout a task may hang for ever; with a queue_limit of 0 one cluster "
            "prefetches the whole queue and its leases run out before the tasks run.",
            id="operations.E001",
        )
        return
    needed = minimal_retry(
        timeout=queue["timeout"],
        workers=queue["workers"],
        queue_limit=queue["queue_limit"],
        bulk=queue["bulk"],
    )
    if queue["retry"] <= needed:
        yield Error(
            f"Q_CLUSTER['retry'] is {queue['retry']} s, but a task may wait and run for "
            f"{needed} s after it was dequeued: it would be run a second time meanwhile.",
            hint=f"Set QUEUE_RETRY_SECONDS above {needed}, or lower QUEUE_TASK_TIMEOUT_SECONDS or "
            "the prefetch (queue_limit, bulk).",
            id="operations.E002",
        )


def _check_pool() -> Iterator[Error]:
    for alias, database in settings.DATABASES.items():
        if database.get("OPTIONS", {}).get("pool"):
            yield Error(
                f"DATABASES[{alias!r}] has a connection pool, which workers inherit broken when "
                "they are forked.",
                hint="Remove OPTIONS['pool'] from the settings that workers read: they keep one "
                "connection each by CONN_MAX_AGE. Only the web process pools, for itself.",
                id="operations.E003",
            )


def _check_database(queue: Mapping[str, Any]) -> Iterator[Error]:
    if queue.get("broker_class") == BROKER and queue.get("orm") != DEFAULT_DB_ALIAS:
        yield Error(
            f"Q_CLUSTER['orm'] is {queue.get('orm')!r}: the queue isn't in the database of the "
            "operations, so a step and the task that continues it can't be committed together.",
            hint=f"Set Q_CLUSTER['orm'] to {DEFAULT_DB_ALIAS!r}.",
            id="operations.E004",
        )
    elif queue.get("broker_class") != BROKER and queue.get("orm"):
        yield Error(
            "Q_CLUSTER['orm'] is set, but the queue isn't in the database: a task would be "
            "delivered before the step that it continues is committed.",
            hint="Remove Q_CLUSTER['orm'], or set QUEUE_BROKER to orm.",
            id="operations.E004",
        )


def _check_acknowledgement(queue: Mapping[str, Any]) -> Iterator[Error]:
    if not queue.get("ack_failures") or queue.get("max_attempts"):
        yield Error(
            "Q_CLUSTER lets the queue redeliver failed tasks, but attempts are counted in the "
            "jobs' own rows.",
            hint="Set Q_CLUSTER['ack_failures'] to True and Q_CLUSTER['max_attempts'] to 0.",
            id="operations.E005",
        )


def _check_time_budget(queue: Mapping[str, Any]) -> Iterator[Error]:
    timeout = queue.get("timeout")
    needed = settings.OPERATION_TIME_BUDGET_SECONDS + settings.OPERATION_LEASE_SECONDS
    if isinstance(timeout, int) and 0 < timeout <= needed:
        yield Error(
            f"A job may hold a worker for {needed:g} s (its time budget and one lease), but the "
            f"queue kills a task after {timeout} s: in the midst of a step, again and again.",
            hint=f"Set QUEUE_TASK_TIMEOUT_SECONDS above {needed:g}, or lower "
            "OPERATION_TIME_BUDGET_SECONDS or OPERATION_LEASE_SECONDS.",
            id="operations.E006",
        )


def _check_save_limit(queue: Mapping[str, Any]) -> Iterator[Error]:
    # django-q's default is 250.
    if queue.get("save_limit", 250) > 0:
        yield Error(
            "Q_CLUSTER['save_limit'] is above 0: each finished task then locks every row of the "
            "saved ones, and the workers wait for each other.",
            hint="Set Q_CLUSTER['save_limit'] to -1 (keep none) or 0 (keep all).",
            id="operations.E007",
        )
