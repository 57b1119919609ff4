"""Redis and SQS as django-q and the kernel use them: the same promises on both."""

from __future__ import annotations

import datetime as dt
import logging
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from types import ModuleType

import pytest
from django.db import transaction
from django.db.models import F
from django.test import Client
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from operations.dispatcher import dispatch_due
from operations.models import ClusterHeartbeat
from operations.queue import heartbeat, redis_broker, remote, sqs_broker
from operations.queue.depth import queue_depth
from operations.queue.remote import BrokerUnreachable, RemoteBroker
from tests.operations.queue.brokers import REMOTE, choose, out_of_reach
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyJob, ToyOperation
from tests.processes import wait_until

RETRY_SECONDS = 1


@pytest.fixture(params=REMOTE)
def name(
    request: pytest.FixtureRequest, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 0)
    with choose(request.param, monkeypatch, retry=RETRY_SECONDS):
        yield request.param


@pytest.fixture
def module(name: str) -> ModuleType:
    return {"redis": redis_broker, "sqs": sqs_broker}[name]


@pytest.fixture
def broker(name: str) -> RemoteBroker:
    broker = get_broker()
    assert isinstance(broker, RemoteBroker)
    return broker


def take(broker: RemoteBroker) -> tuple[str | int, str]:
    """The next task, as soon as there is one."""
    [task] = wait_until(broker.dequeue, "there is a task")
    return task


# --- tasks ------------------------------------------------------------------------


def test_dequeue_leased_task_is_left(broker: RemoteBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "RETRY", 60)
    broker.enqueue("task")
    assert take(broker)[1] == "task"
    assert broker.dequeue() is None
    assert broker.queue_size() == 0


def test_dequeue_lease_that_ended_gives_the_task_again(broker: RemoteBroker) -> None:
    broker.enqueue("task")
    assert take(broker)[1] == "task"
    assert take(broker)[1] == "task"


def test_acknowledge_leased_task_never_comes_back(broker: RemoteBroker) -> None:
    broker.enqueue("acknowledged")
    broker.acknowledge(take(broker)[0])
    # This one's lease ends after the other's would have.
    broker.enqueue("kept")
    assert [take(broker)[1] for _ in range(3)] == ["kept"] * 3


def test_acknowledge_again_is_fine(broker: RemoteBroker) -> None:
    broker.enqueue("task")
    acknowledgement, _ = take(broker)
    broker.acknowledge(acknowledgement)
    broker.acknowledge(acknowledgement)
    assert broker.queue_size() == 0


def test_dequeue_bulk_takes_no_more_than_that(
    broker: RemoteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "BULK", 2)
    monkeypatch.setattr(Conf, "RETRY", 60)
    for n in range(3):
        broker.enqueue(f"task {n}")
    sizes, taken = [], []
    while tasks := broker.dequeue():
        sizes.append(len(tasks))
        taken += [payload for _, payload in tasks]
    assert max(sizes) == 2
    assert sorted(taken) == ["task 0", "task 1", "task 2"]


def test_dequeue_other_queue_is_left(broker: RemoteBroker) -> None:
    other = get_broker(f"{Conf.CLUSTER_NAME}-other")
    other.enqueue("task")
    assert broker.dequeue() is None
    other.fail(take(other)[0])
    assert other.queue_size() == 0


# --- probes -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_dequeue_in_a_cluster_takes_its_own_probes_and_no_other(
    broker: RemoteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "RETRY", 60)
    heartbeat.send_probe("beta")
    heartbeat.send_probe("alpha")
    assert broker.queue_size() == 0
    assert broker.dequeue() is None

    monkeypatch.setenv(heartbeat.CLUSTER_VARIABLE, "alpha")
    acknowledgement, payload = take(broker)
    assert SignedPackage.loads(payload)["func"] == heartbeat.PROBE_TASK
    assert broker.dequeue() is None
    heartbeat.send_probe("alpha")  # none: the first was not acknowledged
    assert OrmQ.objects.count() == 2

    broker.acknowledge(acknowledgement)
    assert OrmQ.objects.get().key == heartbeat.probe_queue("beta")


@pytest.mark.django_db(transaction=True)
def test_dequeue_broker_out_of_reach_takes_probes_still(
    name: str, broker: RemoteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(heartbeat.CLUSTER_VARIABLE, "alpha")
    heartbeat.send_probe("alpha")
    with out_of_reach(name):
        assert isinstance(take(broker)[0], int)


# --- a broker that doesn't answer --------------------------------------------------


def test_dequeue_broker_out_of_reach_is_told_once_and_asked_again(
    name: str, broker: RemoteBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.enqueue("task")
    with caplog.at_level(logging.INFO, logger="operations.queue"):
        with out_of_reach(name):
            assert broker.dequeue() is None
            assert broker.dequeue() is None
        assert take(broker)[1] == "task"
    messages = [record.getMessage() for record in caplog.records]
    assert sum("can't be reached" in message for message in messages) == 1
    assert sum("can be reached again" in message for message in messages) == 1


def test_acknowledge_broker_out_of_reach_is_told_and_the_task_comes_back(
    name: str, broker: RemoteBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.enqueue("task")
    acknowledgement, _ = take(broker)
    with out_of_reach(name):
        broker.acknowledge(acknowledgement)
    assert "comes back in 1 s" in caplog.text
    assert take(broker)[1] == "task"


def test_queue_depth_counts_what_waits_and_is_unknown_out_of_reach(
    name: str, broker: RemoteBroker, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        broker.enqueue("task")
    take(broker)
    assert queue_depth() == 2
    assert "unknown" not in caplog.text
    with out_of_reach(name):
        assert queue_depth() is None
    assert "depth is unknown" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_readyz_with_the_broker_out_of_reach_says_so(name: str, client: Client) -> None:
    heartbeat.register("alpha", workers=1)
    ClusterHeartbeat.objects.update(started_at=F("beat_at") - dt.timedelta(hours=1))
    assert client.get("/readyz").json()["checks"]["queue"]["ok"]
    with out_of_reach(name):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "doesn't answer" in answer.json()["checks"]["queue"]["why"]


# --- jobs -------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_delivery_is_made_at_the_commit_and_never_after_a_rollback(broker: RemoteBroker) -> None:
    with transaction.atomic():
        TOY.start()
        assert queue_depth() == 0
        transaction.set_rollback(True)
    assert queue_depth() == 0

    operation = TOY.start()

    task = SignedPackage.loads(take(broker)[1])
    assert task["args"] == ("toy", operation.jobs.get().pk)
    assert operation.jobs.get().task_id == task["id"]


@pytest.mark.django_db(transaction=True)
def test_delivery_leaves_the_job_alone_once_the_broker_has_its_task(
    broker: RemoteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write after that would lock the row, and the worker that took the task would go away."""
    send, sent_at = type(broker)._send, []

    def send_and_look(self: RemoteBroker, task: str) -> str:
        identity = send(self, task)
        sent_at.append(ToyJob.objects.values().get())
        return identity

    monkeypatch.setattr(type(broker), "_send", send_and_look)
    TOY.start()
    assert sent_at == [ToyJob.objects.values().get()]


@pytest.mark.django_db(transaction=True)
def test_delivery_broker_out_of_reach_fails_nobody_and_is_made_when_it_is_back(
    name: str, broker: RemoteBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with out_of_reach(name):
        with transaction.atomic():
            operation = TOY.start()
        assert "could not be put on the queue" in caplog.text
        assert ToyOperation.objects.get() == operation
        operation.jobs.update(due_at=operation.created_at)
        with pytest.raises(BrokerUnreachable):
            dispatch_due()
        # Still due at once: no delivery was counted that nobody could take.
        job = ToyJob.objects.get()
        assert (job.due_at, job.deliveries) == (operation.created_at, 1)

    assert dispatch_due() == 1
    assert SignedPackage.loads(take(broker)[1])["args"] == ("toy", job.pk)


# --- connections ------------------------------------------------------------------


def test_client_is_made_once_for_all_brokers_of_a_process(
    module: ModuleType, broker: RemoteBroker
) -> None:
    for _ in range(3):
        get_broker().enqueue("task")
    broker.dequeue()
    assert module.client.cache_info().misses == 1


def test_client_after_a_fork_is_another(module: ModuleType, broker: RemoteBroker) -> None:
    broker.enqueue("task")
    parents = module.client()
    reader, writer = multiprocessing.Pipe(duplex=False)

    def work(writer: Connection) -> None:
        [(acknowledgement, payload)] = broker.dequeue() or []
        broker.acknowledge(acknowledgement)
        writer.send((payload, module.client() is parents))

    child = multiprocessing.get_context("fork").Process(target=work, args=(writer,))
    child.start()
    child.join(30)
    assert reader.poll()
    assert reader.recv() == ("task", False)
    assert module.client() is parents
    assert broker.queue_size() == 0
