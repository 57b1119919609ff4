from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from operations.models import ClusterHeartbeat
from operations.queue import heartbeat

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker that has not beaten yet."""
    monkeypatch.setattr(heartbeat, "_pulse", heartbeat._Pulse())


def make_row(**fields: Any) -> ClusterHeartbeat:
    now = timezone.now()
    defaults = {
        "cluster": "alpha",
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "workers": 2,
        "started_at": now - 2 * HOUR,
        "beat_at": now - HOUR,
    }
    return ClusterHeartbeat.objects.create(**{**defaults, **fields})


@pytest.mark.django_db(transaction=True)
def test_beat_in_a_cluster_moves_its_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alpha, beta = make_row(), make_row(cluster="beta")
    monkeypatch.setenv(heartbeat.CLUSTER_VARIABLE, "alpha")
    heartbeat.beat()
    before = {row.cluster: row.beat_at for row in (alpha, beta)}
    alpha.refresh_from_db()
    beta.refresh_from_db()
    assert alpha.beat_at > before["alpha"]
    assert beta.beat_at == before["beta"]


@pytest.mark.django_db(transaction=True)
def test_beat_again_at_once_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    make_row()
    monkeypatch.setenv(heartbeat.CLUSTER_VARIABLE, "alpha")
    with django_assert_num_queries(1):
        heartbeat.beat()
        heartbeat.beat()


@pytest.mark.django_db(transaction=True)
def test_beat_in_a_transaction_writes_nothing_but_may_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = make_row()
    monkeypatch.setenv(heartbeat.CLUSTER_VARIABLE, "alpha")
    with transaction.atomic():
        heartbeat.beat()
    before = row.beat_at
    row.refresh_from_db()
    assert row.beat_at == before
    heartbeat.beat()
    row.refresh_from_db()
    assert row.beat_at > before


def test_beat_outside_a_cluster_writes_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        heartbeat.beat()


def test_register_new_cluster_has_not_beaten() -> None:
    heartbeat.register("alpha", workers=3)
    row = ClusterHeartbeat.objects.get()
    assert (row.cluster, row.workers, row.pid, row.restarts) == ("alpha", 3, os.getpid(), 0)
    assert heartbeat.latest_beat() is None
    assert not heartbeat.is_queue_alive(60)


def test_register_name_of_a_dead_process_replaces_its_row_and_probes() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    make_row(pid=ended.pid, restarts=4)
    heartbeat.send_probe("alpha")
    heartbeat.register("alpha", workers=2)
    assert ClusterHeartbeat.objects.get().restarts == 0
    assert not OrmQ.objects.exists()


def test_register_process_number_given_to_another_replaces_the_row() -> None:
    make_row(started_at=timezone.now() - 10_000 * HOUR)  # before this process was born
    heartbeat.register("alpha", workers=2)
    assert ClusterHeartbeat.objects.get().pid == os.getpid()


def test_register_name_of_a_living_process_is_refused() -> None:
    make_row(started_at=timezone.now())
    with pytest.raises(heartbeat.ClusterNameTaken, match="--cluster"):
        heartbeat.register("alpha", workers=2)


def test_remove_dead_takes_what_has_not_beaten_for_an_hour() -> None:
    make_row(beat_at=timezone.now() - HOUR - dt.timedelta(seconds=1))
    make_row(cluster="beta", beat_at=timezone.now() - dt.timedelta(minutes=59))
    heartbeat.send_probe("alpha")
    heartbeat.send_probe("beta")
    heartbeat.remove_dead()
    assert ClusterHeartbeat.objects.get().cluster == "beta"
    assert OrmQ.objects.get().key == heartbeat.probe_queue("beta")


def test_send_probe_while_one_waits_adds_none() -> None:
    heartbeat.send_probe("alpha")
    heartbeat.send_probe("alpha")
    heartbeat.send_probe("beta")
    assert OrmQ.objects.filter(key=heartbeat.probe_queue("alpha")).count() == 1
    assert OrmQ.objects.count() == 2


def test_read_known_cluster_gives_the_age_by_the_database() -> None:
    row = make_row()
    beat = heartbeat.read("alpha")
    assert beat is not None
    assert beat.at == row.beat_at
    assert beat.age_seconds >= 3600
    assert heartbeat.read("beta") is None


def test_latest_beat_several_clusters_is_the_youngest() -> None:
    make_row()
    latest = make_row(cluster="beta", beat_at=timezone.now())
    assert heartbeat.latest_beat() == latest.beat_at


@pytest.mark.parametrize(("max_age_seconds", "alive"), [(7200, True), (1800, False)])
def test_is_queue_alive_last_beat_an_hour_ago_depends_on_the_limit(
    max_age_seconds: float, alive: bool
) -> None:
    make_row()
    assert heartbeat.is_queue_alive(max_age_seconds) is alive
