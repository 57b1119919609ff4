"""A removal with real workers that are killed under it."""

import os
import signal
from contextlib import suppress

import psutil
import pytest
from django.db import connection

from content.models import Block, Episode, Item, Part
from content.synthetic import make_episode
from duplication.models import IdMap
from duplication.removal.services import start_removal
from operations.models import Event
from tests.duplication.driving import duplicate, rows, tree
from tests.processes import start_process, wait_until

__all__ = ["start_process"]

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

# Short leases, so that a dead worker is found out within the test's patience.
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": "2",
    "OPERATION_TIME_BUDGET_SECONDS": "2",
    "OPERATION_STEP_TARGET_MS": "20",
}


@pytest.fixture
def slow_chunks(transactional_db):
    """Each chunk takes a moment, so that no machine is done before a worker is killed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER linger AFTER DELETE ON id_map"
            " FOR EACH STATEMENT EXECUTE FUNCTION linger()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION linger() CASCADE")


def ended(operation):
    operation.refresh_from_db()
    return not operation.is_active


def test_removal_whose_workers_are_killed_goes_on_and_leaves_nothing(slow_chunks, start_process):
    episode = make_episode(parts=5, items=20, blocks=200)
    duplication = duplicate(episode)
    before = tree(episode)
    workers = start_process("run_workers", "--workers", "2", environment=ENVIRONMENT)
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    blocks = IdMap.objects.filter(duplication=duplication, type="block")
    killed_at = []

    for few in (19_000, 8_000):
        wait_until(
            lambda few=few: blocks.count() <= few or ended(removal), f"{few} blocks are left"
        )
        # A chunk is whole or not there: as many rows as pairs, whenever one looks.
        killed_at.append(blocks.count())
        for process in psutil.Process(workers.pid).children(recursive=True):
            if process.pid != os.getpid():
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)

    assert 0 < killed_at[1] < killed_at[0] < 20_000
    wait_until(lambda: ended(removal), "the removal ends", deadline_seconds=120)
    assert removal.status == "completed", removal.error_message
    assert removal.progress["blocks"]["done"] == 20_000
    assert tree(episode) == before
    assert rows(episode) == (Part.objects.count(), Item.objects.count(), Block.objects.count())
    assert Episode.objects.get() == episode
    assert not IdMap.objects.exists()
    sequences = list(
        Event.objects.filter(kind="removal", operation_id=str(removal.pk)).values_list(
            "sequence", flat=True
        )
    )
    assert sequences == list(range(1, len(sequences) + 1))
