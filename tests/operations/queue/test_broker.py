from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ

from operations.queue import heartbeat
from operations.queue.broker import SkipLockedBroker


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "POLL", 0)


@pytest.fixture
def broker() -> SkipLockedBroker:
    broker = get_broker()
    assert isinstance(broker, SkipLockedBroker)
    return broker


@pytest.mark.django_db
def test_dequeue_several_tasks_takes_the_oldest_first(broker: SkipLockedBroker) -> None:
    ids = [broker.enqueue(f"task {n}") for n in range(3)]
    taken = [broker.dequeue() for _ in range(3)]
    assert taken == [[(pk, f"task {n}")] for n, pk in enumerate(ids)]


@pytest.mark.django_db
def test_dequeue_bulk_takes_that_many_in_order(
    broker: SkipLockedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "BULK", 2)
    ids = [broker.enqueue("task") for _ in range(3)]
    assert broker.dequeue() == [(ids[0], "task"), (ids[1], "task")]
    assert broker.dequeue() == [(ids[2], "task")]


@pytest.mark.django_db
def test_dequeue_empty_queue_returns_none(broker: SkipLockedBroker) -> None:
    assert broker.dequeue() is None


@pytest.mark.django_db
def test_dequeue_leased_task_is_left_until_its_lease_ends(broker: SkipLockedBroker) -> None:
    pk = broker.enqueue("task")
    broker.dequeue()
    left = OrmQ.objects.get(pk=pk).lock - timezone.now()
    assert dt.timedelta(0) < Conf.RETRY * dt.timedelta(seconds=1) - left < dt.timedelta(minutes=1)
    assert broker.dequeue() is None

    OrmQ.objects.filter(pk=pk).update(lock=timezone.now() - dt.timedelta(seconds=1))
    assert broker.dequeue() == [(pk, "task")]


@pytest.mark.django_db
def test_dequeue_other_queue_is_left(broker: SkipLockedBroker) -> None:
    get_broker("other").enqueue("task")
    assert broker.dequeue() is None


@pytest.mark.django_db
def test_dequeue_in_a_cluster_takes_its_own_probes_and_no_other(
    broker: SkipLockedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_broker(heartbeat.probe_queue("beta")).enqueue("beta's")
    own = get_broker(heartbeat.probe_queue("alpha")).enqueue("alpha's")
    monkeypatch.setenv(heartbeat.CLUSTER_VARIABLE, "alpha")
    assert broker.dequeue() == [(own, "alpha's")]
    assert broker.dequeue() is None


@pytest.mark.django_db(transaction=True)
def test_dequeue_row_locked_by_another_takes_the_next_without_waiting(
    broker: SkipLockedBroker,
) -> None:
    first, second = broker.enqueue("first"), broker.enqueue("second")
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM django_q_ormq WHERE id = %s FOR UPDATE", [first])
        assert broker.dequeue() == [(second, "second")]
        other.rollback()
    finally:
        other.close()


@pytest.mark.django_db(transaction=True)
def test_dequeue_several_at_once_takes_each_task_once(broker: SkipLockedBroker) -> None:
    expected = [broker.enqueue("task") for _ in range(200)]
    taken: list[int] = []
    start = threading.Barrier(4)

    def drain() -> None:
        own = get_broker()
        start.wait()
        while tasks := own.dequeue():
            taken.extend(pk for pk, _ in tasks)
        connection.close()

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == expected


@pytest.mark.django_db(transaction=True)
def test_enqueue_in_a_transaction_is_part_of_it_even_on_an_old_connection(
    broker: SkipLockedBroker,
) -> None:
    with transaction.atomic():
        connection.close_at = 0.0  # far past CONN_MAX_AGE
        used = connection.connection
        broker.enqueue("task")
        assert connection.connection is used
        assert OrmQ.objects.count() == 1
        transaction.set_rollback(True)
    assert OrmQ.objects.count() == 0


@pytest.mark.django_db
def test_acknowledge_missing_row_is_fine(broker: SkipLockedBroker) -> None:
    pk = broker.enqueue("task")
    broker.acknowledge(pk)
    broker.acknowledge(pk)
    assert OrmQ.objects.count() == 0
