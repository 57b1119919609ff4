"""Twenty-five workers are killed in one duplication."""

import random
import time

import pytest

from duplication.services import start_duplication
from operations import runner
from tests.faults.checking import assert_sound, wait_for_the_end
from tests.faults.sessions import workers_in_a_step
from tests.faults.slowing import slowed
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

KILLS = 25
LANES = 4
# Small steps, so that there are hundreds of them to be killed in, and short leases. A killed
# worker may take a lock along that the others need: the supervisor finds that out sooner, too.
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": 2,
    "OPERATION_TIME_BUDGET_SECONDS": 2,
    "OPERATION_STEP_TARGET_MS": 20,
}


def kill_workers(duplication, cluster, chance):
    """Kill KILLS of the cluster's workers, one after the other, at random moments of a job."""
    killed = set()
    while len(killed) < KILLS:
        # That a job is given up which was killed again and again at the same place is right,
        # and not what is looked at here: such a one may commit a step first.
        wait_until(
            lambda: not duplication.jobs.filter(attempts__gte=runner.MAX_ATTEMPTS - 1).exists(),
            "the jobs that were killed most have gone on",
        )
        if len(killed) == 2:
            # Up to the blocks there is one job at a time, and each kill costs its whole lease.
            wait_until(
                lambda: duplication.jobs.filter(stage="blocks", steps__gt=0).count() == LANES,
                "all lanes go",
            )
        workers = wait_until(lambda: workers_in_a_step(cluster) - killed, "a worker is in a step")
        worker = chance.choice(sorted(workers, key=lambda process: process.pid))
        time.sleep(chance.choice([0, chance.uniform(0, 0.3)]))  # the random moment
        worker.kill()
        killed.add(worker)
        duplication.refresh_from_db()
        assert duplication.is_active, f"it was over after {len(killed)} kills"


def test_duplication_whose_workers_are_killed_25_times_is_sound(
    start_workers, make_linked_episode, request
):
    seed = request.config.getoption("randomly_seed")
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    episode = make_linked_episode(parts=4, items=25, blocks=800)
    cluster = start_workers(workers=LANES, stall_seconds=6, environment=ENVIRONMENT)

    with slowed("id_map"):
        duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=LANES)
        kill_workers(duplication, cluster, chance)

    wait_for_the_end(duplication)
    assert_sound(duplication)
