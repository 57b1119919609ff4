"""Each broker for real: what it is told by, in this process and in others.

Owns the environment that chooses a broker, and a queue of its own for each test. Redis
runs where REDIS_URL is set, SQS is moto's server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import override_settings
from django_q.conf import Conf

from operations.queue import redis_broker, sqs_broker
from tests import needs

BROKERS = ["orm", pytest.param("redis", marks=needs.redis), "sqs"]
REMOTE = BROKERS[1:]


class Chosen(NamedTuple):
    """A broker that this process uses, and the environment in which another does."""

    name: str
    environment: dict[str, str]


@contextmanager
def choose(name: str, patch: pytest.MonkeyPatch, **queue: Any) -> Iterator[Chosen]:
    """Use the broker `name` in this process: what QUEUE_BROKER does at its start.

    `queue` replaces values of Q_CLUSTER. django-q reads its settings once, so its copy
    is changed as well: by the test's own `patch`, because what the test changes there on
    top has to be undone before this is.
    """
    queue_name = f"test-{uuid4().hex}"
    changed = {
        **{key: value for key, value in settings.Q_CLUSTER.items() if key != "orm"},
        **settings.QUEUE_BROKERS[name],
        "name": queue_name,
        **queue,
    }
    with override_settings(QUEUE_BROKER=name, Q_CLUSTER=changed):
        patch.setattr(Conf, "BROKER_CLASS", changed["broker_class"])
        patch.setattr(Conf, "ORM", changed.get("orm"))
        patch.setattr(Conf, "REDIS", changed.get("redis"))
        patch.setattr(Conf, "RETRY", changed["retry"])
        patch.setattr(Conf, "BULK", changed["bulk"])
        patch.setattr(Conf, "POLL", 0)
        patch.setattr(Conf, "PREFIX", queue_name)
        patch.setattr(Conf, "CLUSTER_NAME", queue_name)
        forget_clients()
        yield Chosen(name, {"QUEUE_BROKER": name, "QUEUE_NAME": queue_name})
        if name == "redis" and changed["redis"] == needs.REDIS_URL:
            redis_broker.client().delete(f"{{{queue_name}}}:waiting", f"{{{queue_name}}}:leased")
        forget_clients()


@contextmanager
def out_of_reach(name: str) -> Iterator[None]:
    """Inside it nobody listens where the broker should be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Conf, "REDIS", "redis://127.0.0.1:1/0")
        patch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
        forget_clients()
        yield
    forget_clients()


def forget_clients() -> None:
    """Close this process's clients; the next call makes new ones."""
    for module in (redis_broker, sqs_broker):
        if module.client.cache_info().currsize:
            module.client().close()
    redis_broker.client.cache_clear()
    sqs_broker.forget_client()
