"""Twenty-five workers are killed in one duplication."""

import random

import pytest

from duplication.services import start_duplication
from tests.faults.checking import assert_sound
from tests.faults.ending import wait_for_the_end
from tests.faults.killing import kill_workers
from tests.faults.slowing import slowed
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

LANES = 4
# By stage: in the first ones there is one job at a time, and each kill costs its whole lease.
FIRST, BLOCKS, LATER = 2, 12, {"links": 3, "verify": 6, "drift": 2}
# Small steps, so that there are hundreds of them to be killed in, and short leases. A killed
# worker may take a lock along that the others need: the supervisor finds that out sooner, too.
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": 2,
    "OPERATION_TIME_BUDGET_SECONDS": 2,
    "OPERATION_STEP_TARGET_MS": 20,
}


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
        killed = kill_workers(duplication, cluster, chance, times=FIRST)
        wait_until(
            lambda: duplication.jobs.filter(stage="blocks", steps__gt=0).count() == LANES,
            "all lanes go",
        )
        killed |= kill_workers(
            duplication, cluster, chance, times=BLOCKS, before=killed, stage="blocks"
        )
    with slowed("duplication_jobs", 0.4, when="NEW.stage <> 'blocks'"):
        for stage, times in LATER.items():
            killed |= kill_workers(
                duplication, cluster, chance, times=times, before=killed, stage=stage
            )
    assert len(killed) == 25

    wait_for_the_end(duplication)
    assert_sound(duplication)
