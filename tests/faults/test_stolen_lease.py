"""A worker stands still for longer than its lease; another takes its job, then it wakes up."""

import random
import signal
import time

import psutil
import pytest

from duplication.services import start_duplication
from tests.faults.checking import assert_sound
from tests.faults.ending import wait_for_the_end
from tests.faults.sessions import states_of, workers_in_a_step
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

ENVIRONMENT = {"OPERATION_LEASE_SECONDS": 2, "OPERATION_STEP_TARGET_MS": 5}


def stop_worker(cluster, *, in_a_step):
    """Stop the cluster's one worker, with its transaction open or between two of them.

    Where it stands is only known once it does: until it is the right place it may go on.
    """

    while True:
        (worker,) = wait_until(lambda: workers_in_a_step(cluster), "the worker is in a step")
        time.sleep(random.uniform(0, 0.02))  # anywhere in the step, or behind it
        worker.send_signal(signal.SIGSTOP)
        wait_until(lambda at=worker: is_at_rest(at), "it stands, and its statement has ended")
        if ("idle in transaction" in states_of(worker.pid)) is in_a_step:
            return worker
        worker.send_signal(signal.SIGCONT)


def is_at_rest(worker):
    return worker.status() == psutil.STATUS_STOPPED and "active" not in states_of(worker.pid)


@pytest.mark.parametrize("in_a_step", [True, False], ids=["in a step", "between steps"])
def test_duplication_whose_worker_wakes_after_its_lease_is_sound(
    start_workers, make_linked_episode, in_a_step
):
    episode = make_linked_episode(parts=4, items=25, blocks=400)
    slow = start_workers("slow", workers=1, environment=ENVIRONMENT)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=1)
    blocks = duplication.jobs.filter(stage="blocks", steps__gt=2)
    wait_until(blocks.exists, "blocks are being copied")

    worker = stop_worker(slow, in_a_step=in_a_step)
    held = blocks.get()
    assert held.status == "in_progress", "it was stopped too late"
    assert held.lease_token
    start_workers("quick", workers=1, environment=ENVIRONMENT)
    wait_until(
        blocks.filter(steps__gt=held.steps + 1).exclude(lease_token=held.lease_token).exists,
        "the other one has taken the job and gone on with it",
    )
    worker.send_signal(signal.SIGCONT)

    wait_until(
        lambda: "Another worker has taken this job" in slow.output(), "the slow one has found out"
    )
    wait_for_the_end(duplication)
    assert_sound(duplication)
