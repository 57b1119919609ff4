"""The supervisor against real processes that are killed for real."""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Callable
from typing import NamedTuple

import psutil
import pytest
from django.db import connection
from django.db.models import F
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from operations.models import ClusterHeartbeat
from operations.queue.supervisor import Supervisor
from tests.operations.queue import worker_tasks
from tests.processes import (
    ManagedProcess,
    StartProcess,
    children_of,
    database_url,
    wait_until,
)

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

SETTINGS = "tests.operations.queue.worker_settings"
TASKS = "tests.operations.queue.worker_tasks"
WORKERS = 2


class Tree(NamedTuple):
    main: psutil.Process
    sentinel: psutil.Process
    workers: list[psutil.Process]
    monitor: psutil.Process

    @property
    def all(self) -> set[psutil.Process]:
        return {self.main, self.sentinel, *children_of(self.sentinel)}


StartWorkers = Callable[..., ManagedProcess]


@pytest.fixture
def start_workers(start_process: StartProcess) -> StartWorkers:
    def start(
        cluster: str = "alpha", *, workers: int = WORKERS, **environment: str
    ) -> ManagedProcess:
        return start_process(
            "run_workers",
            f"--cluster={cluster}",
            f"--workers={workers}",
            "--stall-seconds=3",
            settings_module=SETTINGS,
            environment=environment,
        )

    return start


def tree_of(supervisor: ManagedProcess) -> Tree | None:
    """The cluster's processes, once they are complete and have run something."""
    if not ClusterHeartbeat.objects.filter(beat_at__gt=F("started_at")).exists():
        return None
    try:
        [main] = supervisor.children()
        [sentinel] = children_of(main)
        *workers, monitor, _pusher = children_of(sentinel)
    except (ValueError, psutil.NoSuchProcess):
        return None
    return Tree(main, sentinel, workers, monitor) if len(workers) == WORKERS else None


def running_tree(supervisor: ManagedProcess) -> Tree:
    return wait_until(lambda: tree_of(supervisor), "the cluster has started")


def restarts() -> int:
    return ClusterHeartbeat.objects.get().restarts


def runs_a_task() -> None:
    name = uuid.uuid4().hex
    async_task(f"{TASKS}.record", name)
    wait_until(lambda: worker_tasks.count(name), "a new task is run")


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_recovers(supervisor: ManagedProcess, old: set[psutil.Process]) -> None:
    """The cluster was replaced as a whole and runs tasks; nothing of the old one is left."""
    wait_until(lambda: restarts() == 1, "the cluster is restarted")
    runs_a_task()
    assert all(is_gone(process) for process in old)
    assert restarts() == 1


def test_run_workers_all_idle_workers_killed_restarts_the_tree(start_workers: StartWorkers) -> None:
    supervisor = start_workers()
    tree = running_tree(supervisor)
    everything = tree.all
    for worker in tree.workers:
        worker.kill()
    assert_recovers(supervisor, everything)


def test_run_workers_all_busy_workers_killed_redelivers_their_tasks(
    start_workers: StartWorkers,
) -> None:
    supervisor = start_workers()
    tree = running_tree(supervisor)
    names = [uuid.uuid4().hex for _ in range(WORKERS)]
    for name in names:
        async_task(f"{TASKS}.hang_once", name)
    wait_until(lambda: all(worker_tasks.count(name, "started") for name in names), "both are busy")
    for worker in tree.workers:
        worker.kill()
    wait_until(
        lambda: all(worker_tasks.count(name, "ended") for name in names),
        "both tasks are run again",
    )
    assert all(is_gone(worker) for worker in tree.workers)
    runs_a_task()


def test_run_workers_monitor_killed_tasks_are_acknowledged_again(
    start_workers: StartWorkers,
) -> None:
    """Its successor may hang on the lock it held: then tasks run and none is acknowledged,
    until the tree is restarted."""
    supervisor = start_workers()
    tree = running_tree(supervisor)
    tree.monitor.kill()
    runs_a_task()
    waiting = OrmQ.objects.filter(key=Conf.CLUSTER_NAME)
    wait_until(lambda: not waiting.exists(), "the task is acknowledged")
    assert is_gone(tree.monitor)


def test_run_workers_main_process_killed_restarts_the_tree(start_workers: StartWorkers) -> None:
    supervisor = start_workers()
    tree = running_tree(supervisor)
    everything = tree.all
    tree.main.kill()
    assert_recovers(supervisor, everything)


def test_run_workers_sentinel_killed_restarts_the_tree(start_workers: StartWorkers) -> None:
    supervisor = start_workers()
    tree = running_tree(supervisor)
    everything = tree.all
    tree.sentinel.kill()
    assert_recovers(supervisor, everything)


def test_run_workers_supervisor_killed_leaves_no_process_and_can_be_started_again(
    start_workers: StartWorkers,
) -> None:
    supervisor = start_workers()
    running_tree(supervisor)
    supervisor.send(signal.SIGKILL)
    supervisor.wait()
    wait_until(lambda: not supervisor.living(), "no process is left")

    successor = start_workers()
    wait_until(
        lambda: ClusterHeartbeat.objects.filter(pid=successor.pid).exists(), "the row is replaced"
    )
    runs_a_task()


def test_run_workers_database_connections_cut_goes_on(start_workers: StartWorkers) -> None:
    supervisor = start_workers()
    running_tree(supervisor)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    runs_a_task()
    assert not is_gone(psutil.Process(supervisor.pid))


def test_run_workers_long_task_without_beats_is_not_taken_for_stalled(
    start_workers: StartWorkers,
) -> None:
    start_workers(workers=1)
    name = uuid.uuid4().hex
    async_task(f"{TASKS}.work", name, 5.0)
    wait_until(lambda: worker_tasks.count(name, "ended"), "the task ends")
    assert worker_tasks.count(name, "started") == 1
    assert restarts() == 0


def test_run_workers_sigterm_finishes_the_running_task(start_workers: StartWorkers) -> None:
    supervisor = start_workers()
    name = uuid.uuid4().hex
    async_task(f"{TASKS}.work", name, 2.0)
    wait_until(lambda: worker_tasks.count(name, "started"), "the task has started")
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert worker_tasks.count(name, "ended") == 1
    assert not supervisor.living()
    assert not ClusterHeartbeat.objects.exists()


def test_run_workers_second_signal_kills_at_once(start_workers: StartWorkers) -> None:
    supervisor = start_workers()
    name = uuid.uuid4().hex
    async_task(f"{TASKS}.hang_once", name)
    wait_until(lambda: worker_tasks.count(name, "started"), "the task has started")
    supervisor.send(signal.SIGTERM)
    wait_until(lambda: "stopping" in supervisor.output(), "the first signal has arrived")
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert "killed before it had finished" in supervisor.output()
    assert not supervisor.living()


def test_run_workers_two_clusters_each_prove_themselves(start_workers: StartWorkers) -> None:
    start_workers("alpha", workers=1)
    start_workers("beta", workers=1)
    beating = ClusterHeartbeat.objects.filter(beat_at__gt=F("started_at"), restarts=0)
    wait_until(lambda: beating.count() == 2, "both clusters run their probes")
    first = dict(beating.values_list("cluster", "beat_at"))
    wait_until(
        lambda: all(beating.get(cluster=name).beat_at > at for name, at in first.items()),
        "both go on beating though idle",
    )


def test_run_workers_name_in_use_is_refused(start_workers: StartWorkers) -> None:
    first = start_workers("alpha", workers=1)
    wait_until(ClusterHeartbeat.objects.exists, "the first one has registered")
    second = start_workers("alpha", workers=1)
    assert second.wait() == 1
    assert "choose another name" in second.output()
    assert ClusterHeartbeat.objects.get().pid == first.pid


def test_run_workers_cluster_dies_at_start_waits_longer_each_time(
    start_workers: StartWorkers,
) -> None:
    supervisor = start_workers(BREAK_CLUSTER="1")
    wait_until(lambda: "restart in 2 s" in supervisor.output(), "a second start in vain")
    assert "restart in 1 s" in supervisor.output()
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait() == 0


def test_supervisor_dispatcher_fails_is_logged_once_and_called_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url())
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", SETTINGS)
    calls = 0

    def dispatch() -> int:
        nonlocal calls
        calls += 1
        if calls == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        if calls <= 2:
            raise ValueError("nothing can be dispatched")
        return 0

    with caplog.at_level(logging.INFO, logger="operations.queue"):
        Supervisor(cluster="alpha", workers=1, dispatch=dispatch).run()
    messages = [record.message for record in caplog.records]
    assert sum("dispatcher fails" in message for message in messages) == 1
    assert sum("dispatcher works again" in message for message in messages) == 1
