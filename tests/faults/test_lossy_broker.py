"""The queue loses every third message."""

import datetime as dt

import pytest
from django.db import connection
from django_q.conf import Conf

from duplication.services import start_duplication
from operations import delivery
from tests.faults.brokers import COUNTER
from tests.faults.checking import assert_sound
from tests.faults.ending import wait_for_the_end

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

BROKER = "tests.faults.brokers.LossyBroker"
# Back to the queue after each few steps: many messages to lose.
ENVIRONMENT = {
    "FAULTS_BROKER": BROKER,
    "OPERATION_TIME_BUDGET_SECONDS": 0.2,
    "OPERATION_STEP_TARGET_MS": 20,
}


@pytest.fixture
def counter(transactional_db):
    """How many messages were sent so far."""

    def sent():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT last_value FROM {COUNTER}")
            return cursor.fetchone()[0]

    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SEQUENCE {COUNTER}")
    try:
        yield sent
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SEQUENCE {COUNTER}")


def test_duplication_with_every_third_message_lost_is_sound(
    counter, start_workers, make_linked_episode, monkeypatch
):
    # The first message is this process's own: as patient as the workers (tests.faults.apps).
    monkeypatch.setattr(Conf, "BROKER_CLASS", BROKER)
    monkeypatch.setattr(delivery, "REDELIVER_AFTER", dt.timedelta(seconds=1))
    episode = make_linked_episode(parts=4, items=10, blocks=700)
    start_workers(workers=2, environment=ENVIRONMENT)

    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=2)

    wait_for_the_end(duplication)
    assert counter() >= 3 * 5, "at least five messages were to be lost"
    assert_sound(duplication)
