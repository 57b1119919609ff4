"""A duplication with real workers that are killed under it."""

import os
import signal

import psutil
import pytest

from content.synthetic import make_episode
from duplication.models import IdMap
from duplication.services import start_duplication
from operations.models import Event
from tests.duplication.driving import rows
from tests.processes import start_process, wait_until

__all__ = ["start_process"]

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

# Short leases, so that a dead worker is found out within the test's patience.
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": "2",
    "OPERATION_TIME_BUDGET_SECONDS": "2",
    "OPERATION_STEP_TARGET_MS": "50",
}


def copied_blocks(duplication):
    return IdMap.objects.filter(duplication=duplication, type="block").count()


def ended(duplication):
    duplication.refresh_from_db()
    return not duplication.is_active


def test_duplication_with_real_workers_completes(start_process):
    episode = make_episode(parts=4, items=5, blocks=100)
    start_process("run_workers", "--workers", "2", environment=ENVIRONMENT)

    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)

    wait_until(lambda: ended(duplication), "the duplication ends")
    assert duplication.status == "completed", duplication.error_message
    assert rows(duplication.new_episode) == rows(episode)


def test_duplication_whose_workers_are_killed_goes_on_and_is_whole(start_process):
    episode = make_episode(parts=10, items=20, blocks=200)
    workers = start_process("run_workers", "--workers", "2", environment=ENVIRONMENT)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=2)

    for some in (1, 15_000):
        wait_until(
            lambda some=some: copied_blocks(duplication) >= some or ended(duplication),
            f"{some} blocks are copied",
        )
        for process in psutil.Process(workers.pid).children(recursive=True):
            if process.pid != os.getpid():
                try:
                    process.send_signal(signal.SIGKILL)
                except psutil.NoSuchProcess:
                    continue

    wait_until(lambda: ended(duplication), "the duplication ends", deadline_seconds=120)
    assert duplication.status == "completed", duplication.error_message
    assert duplication.report["verified"] is True
    assert rows(duplication.new_episode) == rows(episode) == (10, 200, 40_000)
    sequences = list(
        Event.objects.filter(kind="duplication", operation_id=str(duplication.pk)).values_list(
            "sequence", flat=True
        )
    )
    assert sequences == list(range(1, len(sequences) + 1))
