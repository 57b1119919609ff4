"""Workers of any kind of operation are killed, at random moments of a step."""

import time

from operations import runner
from tests.faults.sessions import workers_in_a_step
from tests.processes import wait_until

LONGEST_PAUSE_SECONDS = 0.3
# The stages before it have to end first.
STAGE_DEADLINE_SECONDS = 300


def kill_workers(operation, cluster, chance, *, times, before=frozenset(), stage=None):
    """Kill that many of the cluster's workers, one after the other; answers them.

    `before` are those that were killed already: the server may not have noticed yet. With `stage`
    each is killed while a job of that stage is in hand, and the stage isn't over afterwards.
    """
    jobs = operation.jobs.model._meta.db_table
    killed = set()
    while len(killed) < times:
        # That a job is given up which was killed again and again at the same place is right,
        # and not what is looked at here: such a one may commit a step first.
        wait_until(
            lambda: not operation.jobs.filter(attempts__gte=runner.MAX_ATTEMPTS - 1).exists(),
            "the jobs that were killed most have gone on",
        )
        if stage:
            in_hand = operation.jobs.filter(stage=stage, lease_token__isnull=False)
            wait_until(
                in_hand.exists,
                f"a job of the stage {stage} is in hand",
                deadline_seconds=STAGE_DEADLINE_SECONDS,
            )
        workers = wait_until(
            lambda: workers_in_a_step(cluster, jobs) - killed - before, "a worker is in a step"
        )
        worker = chance.choice(sorted(workers, key=lambda process: process.pid))
        # The random moment.
        time.sleep(chance.choice([0, chance.uniform(0, LONGEST_PAUSE_SECONDS)]))
        worker.kill()
        killed.add(worker)
        operation.refresh_from_db()
        assert operation.is_active, f"it was over after {len(before) + len(killed)} kills"
        if stage:
            left = operation.jobs.filter(stage=stage).exclude(status="completed")
            assert left.exists(), f"{stage} was over when its worker was killed"
    return killed
