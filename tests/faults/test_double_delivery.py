"""Every task is delivered twice, to two clusters of workers, and the first one at once."""

import pytest
from django_q.conf import Conf

from duplication.services import start_duplication
from tests.faults.checking import assert_sound
from tests.faults.ending import wait_for_the_end
from tests.faults.sessions import another_session, pids_waiting_for
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

BROKER = "tests.faults.brokers.DoublingBroker"
# Back to the queue after each few steps: many tasks, each of them twice.
ENVIRONMENT = {
    "FAULTS_BROKER": BROKER,
    "OPERATION_TIME_BUDGET_SECONDS": 0.2,
    "OPERATION_STEP_TARGET_MS": 20,
}


def test_duplication_with_each_task_delivered_twice_is_sound(
    start_workers, make_linked_episode, monkeypatch
):
    monkeypatch.setattr(Conf, "BROKER_CLASS", BROKER)
    episode = make_linked_episode(parts=4, items=10, blocks=1_000)
    clusters = [
        start_workers(name, workers=2, environment=ENVIRONMENT) for name in ("one", "another")
    ]
    supervisors = {cluster.pid for cluster in clusters}

    def claiming():
        return set(pids_waiting_for("duplication_jobs")) - supervisors

    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=2)
    with another_session() as cursor:
        # Whoever claims the first job waits here until both do, then they go at one moment.
        cursor.execute("LOCK TABLE duplication_jobs IN ACCESS EXCLUSIVE MODE")
        wait_until(lambda: len(claiming()) == 2, "two workers claim the same job")

    wait_for_the_end(duplication)
    assert_sound(duplication)
