"""Two clusters, as on two machines, with one queue: on every broker, with real processes."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import pytest
from django.db.models import F

from operations.models import ClusterHeartbeat
from operations.queue import heartbeat
from operations.queue.depth import queue_depth
from tests.operations.queue.brokers import BROKERS, Chosen, choose
from tests.operations.queue.shared_settings import OPERATION_MAX_CONCURRENT_JOBS
from tests.operations.queue.shared_work import traces
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyJob, ToyOperation, ToyRow
from tests.processes import ManagedProcess, StartProcess, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

SETTINGS = "tests.operations.queue.shared_settings"
CLUSTERS = ("alpha", "beta")
WORKERS = 2
OPERATIONS = 8
ROWS = 10


@pytest.fixture(params=BROKERS)
def broker(
    request: pytest.FixtureRequest, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Chosen]:
    with choose(request.param, monkeypatch) as chosen:
        yield chosen


class StartClusters(Protocol):
    def __call__(self, **environment: str) -> list[ManagedProcess]: ...


@pytest.fixture
def start_clusters(broker: Chosen, start_process: StartProcess) -> StartClusters:
    """Start both and wait until each has proved that its workers run something."""

    def start(**environment: str) -> list[ManagedProcess]:
        started = [
            start_process(
                "run_workers",
                f"--cluster={cluster}",
                f"--workers={WORKERS}",
                "--stall-seconds=5",
                settings_module=SETTINGS,
                environment={**broker.environment, **environment},
            )
            for cluster in CLUSTERS
        ]
        beating = ClusterHeartbeat.objects.filter(beat_at__gt=F("started_at"))
        wait_until(lambda: beating.count() == len(CLUSTERS), "both clusters run their probes")
        assert heartbeat.is_queue_alive(60)
        return started

    return start


def start_operations() -> list[ToyOperation]:
    return [TOY.start(rows=ROWS) for _ in range(OPERATIONS)]


def is_in_the_midst_of_a_job(cluster: str) -> bool:
    jobs = [trace.job for trace in traces() if trace.cluster == cluster]
    return ToyJob.objects.filter(pk__in=jobs, lease_until__isnull=False).exists()


def wait_until_completed() -> None:
    completed = ToyOperation.objects.filter(status=ToyOperation.Status.COMPLETED)
    wait_until(lambda: completed.count() == OPERATIONS, "all operations are completed")


def assert_nothing_is_missing_or_twice(operations: list[ToyOperation]) -> None:
    written = Counter(ToyRow.objects.values_list("toy_id", flat=True))
    assert written == {operation.pk: ROWS for operation in operations}
    steps = Counter(trace.job for trace in traces())
    assert steps == dict(ToyJob.objects.filter(name="Count").values_list("pk", "steps"))
    assert ToyJob.objects.count() == 2 * OPERATIONS


def test_two_clusters_share_the_load_within_one_limit_and_run_nothing_twice(
    start_clusters: StartClusters,
) -> None:
    # More than one cluster's workers can hold: the limit is reached by both together.
    assert WORKERS < OPERATION_MAX_CONCURRENT_JOBS < WORKERS * len(CLUSTERS)
    start_clusters()
    operations = start_operations()
    wait_until_completed()

    seen = traces()
    assert {trace.cluster for trace in seen} == set(CLUSTERS)
    assert max(trace.running for trace in seen) == OPERATION_MAX_CONCURRENT_JOBS
    assert_nothing_is_missing_or_twice(operations)
    assert not ClusterHeartbeat.objects.exclude(restarts=0).exists()
    wait_until(lambda: queue_depth() == 0, "the queue is empty")


def test_two_clusters_one_killed_the_other_ends_its_work(start_clusters: StartClusters) -> None:
    alpha, _ = start_clusters(
        QUEUE_TASK_TIMEOUT_SECONDS="6", QUEUE_RETRY_SECONDS="7", OPERATION_LEASE_SECONDS="3"
    )
    operations = start_operations()
    wait_until(lambda: is_in_the_midst_of_a_job("alpha"), "alpha is at work")
    alpha.send(signal.SIGKILL)
    wait_until_completed()

    assert {trace.cluster for trace in traces()} == set(CLUSTERS)
    assert_nothing_is_missing_or_twice(operations)
