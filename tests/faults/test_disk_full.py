"""The database server's disk is full for a while: commits fail."""

from contextlib import contextmanager

import pytest
from django.db import connection

from content.models import Block
from duplication.models import IdMap
from duplication.services import start_duplication
from operations.models import Event
from tests.faults.checking import assert_sound
from tests.faults.ending import wait_for_the_end
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

ENVIRONMENT = {"OPERATION_LEASE_SECONDS": 2, "OPERATION_STEP_TARGET_MS": 5}
# What one commit of a step writes; a full disk may have room for some of it, or for nothing.
ROWS = ("id_map",)
EVERYTHING = ("id_map", "duplication_jobs", "duplications", "operation_events")
MESSAGE = 'could not extend file "base/5/1259": No space left on device'


@contextmanager
def full_disk(*tables):
    """Each commit that has written to one of `tables` fails as it does on a full disk."""
    triggers = [
        f"""CREATE CONSTRAINT TRIGGER faults_disk AFTER INSERT OR UPDATE ON {table}
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION faults_disk()"""
        for table in tables
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""CREATE FUNCTION faults_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE SQLSTATE '53100' USING MESSAGE = '{MESSAGE}'; END $$"""
        )
        try:
            for trigger in triggers:
                cursor.execute(trigger)
            yield
        finally:
            cursor.execute("DROP FUNCTION faults_disk CASCADE")


@pytest.fixture
def duplication(start_workers, make_linked_episode):
    """One that copies blocks, in a single lane."""
    episode = make_linked_episode(parts=4, items=25, blocks=200)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=1)
    duplication.cluster = start_workers(workers=2, environment=ENVIRONMENT)
    wait_until(
        duplication.jobs.filter(stage="blocks", steps__gt=1).exists, "blocks are being copied"
    )
    return duplication


def test_duplication_whose_rows_find_no_room_waits_says_so_and_is_sound(duplication):
    failed_commits = Event.objects.filter(
        name="duplication.exception",
        payload__error_code="53100",
        payload__message__icontains=MESSAGE,
    )

    with full_disk(*ROWS):
        wait_until(lambda: failed_commits.count() >= 2, "the step has failed twice")
        wait_until(
            lambda: "disk is full" in type(duplication).objects.get().waiting_reason, "it waits"
        )
        duplication.refresh_from_db()
        assert duplication.display_status == "waiting"
        # Nothing is half written: what the job counts is what there is.
        copied = duplication.jobs.get(stage="blocks").counts["rows"]
        assert IdMap.objects.filter(type="block").count() == copied
        assert Block.objects.filter(orig_id__isnull=False).count() == copied

    wait_for_the_end(duplication)
    assert_sound(duplication)


def test_duplication_while_nothing_can_be_written_goes_on_later_and_is_sound(duplication):
    with full_disk(*EVERYTHING):
        wait_until(
            lambda: "dispatcher fails, supervising goes on" in duplication.cluster.output(),
            "the job's lease has run out, and not even that can be written",
        )

    wait_for_the_end(duplication)
    assert_sound(duplication)
