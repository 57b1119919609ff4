"""Another session takes the same rows in the opposite order, until the server steps in."""

import pytest
from django.db import OperationalError

from duplication.copying import DuplicateBlocks
from duplication.services import start_duplication
from operations.database_errors import sqlstate
from operations.models import Event
from tests.faults.checking import assert_sound
from tests.faults.ending import wait_for_the_end
from tests.faults.sessions import another_session, pids_blocked_by
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

DEADLOCK = "40P01"
DEADLOCKS = 2
ENVIRONMENT = {"OPERATION_STEP_TARGET_MS": 20}


def collide(duplication):
    """Hold the operation's row, which a step takes last, and ask for its job's, which it took
    first. Returns the size of the step that the server ended for it, if it did.

    PostgreSQL ends the one that has waited for a second: the step, which waits first; or
    this session, if it was slow to ask.
    """
    with another_session() as cursor:
        cursor.execute("SELECT 1 FROM duplications WHERE id = %s FOR UPDATE", [duplication.pk])
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
        wait_until(lambda: pids_blocked_by(backend), "a step waits for the operation's row")
        job = duplication.jobs.get(stage="blocks")
        try:
            cursor.execute("SELECT 1 FROM duplication_jobs WHERE id = %s FOR UPDATE", [job.pk])
        except OperationalError as error:
            if sqlstate(error) != DEADLOCK:
                raise
            return None
    return job.step_size or DuplicateBlocks.initial_size


def test_duplication_that_runs_into_deadlocks_retries_smaller_and_is_sound(
    start_workers, make_linked_episode
):
    episode = make_linked_episode(parts=4, items=25, blocks=500)
    start_workers(workers=2, environment=ENVIRONMENT)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=1)
    deadlocks = Event.objects.filter(
        name="duplication.exception", payload__error_code=DEADLOCK
    ).order_by("sequence")
    wait_until(
        duplication.jobs.filter(stage="blocks", steps__gt=1).exists, "blocks are being copied"
    )

    for seen in range(DEADLOCKS):
        while (size := collide(duplication)) is None:
            pass
        deadlock = wait_until(deadlocks[seen:].first, "the step has told of the deadlock")
        retried = wait_until(lambda of=deadlock: progress_after(of), "the step was tried again")
        assert retried.payload["amount"] <= size // 2

    wait_for_the_end(duplication)
    assert_sound(duplication)


def progress_after(event):
    following = Event.objects.filter(name="duplication.progress", sequence__gt=event.sequence)
    return following.first()
