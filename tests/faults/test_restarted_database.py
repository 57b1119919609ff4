"""The database server dies three times under one duplication."""

import pytest

from duplication.models import IdMap
from duplication.services import start_duplication
from tests.faults.checking import assert_sound
from tests.faults.ending import wait_for_the_end
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

BLOCKS = 60_000
# Small steps, so that each restart finds one under way. The budget and the leases are short
# for the sake of what a restart breaks outside of a step: the next delivery, the next claim.
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": 3,
    "OPERATION_TIME_BUDGET_SECONDS": 5,
    "OPERATION_STEP_TARGET_MS": 5,
}


def test_duplication_whose_database_restarts_3_times_is_sound(
    server, start_workers_there, make_linked_episode
):
    episode = make_linked_episode(parts=4, items=25, blocks=BLOCKS // 100)
    start_workers_there(workers=2, environment=ENVIRONMENT)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=2)

    def copied_blocks():
        return IdMap.objects.filter(duplication=duplication, type="block").count()

    for at in (1, BLOCKS // 3, BLOCKS * 2 // 3):
        wait_until(lambda at=at: copied_blocks() >= at, f"{at} blocks are copied")
        assert copied_blocks() < BLOCKS
        server.restart_immediately()

    wait_for_the_end(duplication)
    assert_sound(duplication)
