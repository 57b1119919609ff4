import pytest
from django.core.management import call_command
from django.db import connection

from content.models import Block, Part
from content.synthetic import make_episode
from tests.faults.private_server import PrivateServer
from tests.processes import start_process

__all__ = ["start_process"]

SETTINGS = "tests.faults.worker_settings"
# The faults come faster than in life: nobody shall hold still for a minute because of them,
# nor because of other tests beside this one.
ENVIRONMENT = {"OPERATION_THROTTLE_EXCEPTIONS": "1000", "LOAD_MAX_SLOWDOWN": "0"}


@pytest.fixture
def start_workers(start_process):
    """Start a cluster of workers that the faults may happen to; answers its process."""

    def start(cluster="faults", *, workers=2, stall_seconds=30, environment):
        return start_process(
            "run_workers",
            f"--cluster={cluster}",
            f"--workers={workers}",
            f"--stall-seconds={stall_seconds}",
            settings_module=SETTINGS,
            environment=ENVIRONMENT | {key: str(value) for key, value in environment.items()},
        )

    return start


@pytest.fixture
def server(transactional_db, tmp_path):
    server = PrivateServer(tmp_path / "postgres")
    server.start()
    try:
        call_command("migrate", verbosity=0)
        yield server
    finally:
        server.stop()


@pytest.fixture
def start_workers_there(server, start_workers):
    """Named after the server, so that the workers are gone before it is."""
    return start_workers


@pytest.fixture
def make_linked_episode():
    """Make an episode in which one block in a thousand links to another and to a part."""

    def make(**numbers):
        episode = make_episode(**numbers)
        part = Part.objects.filter(episode=episode).latest("id")
        with connection.cursor() as cursor:
            cursor.execute(
                f"""UPDATE {Block._meta.db_table} SET field_2 =
                    'See content:block/' || id + 1 || ' and content:part/' || %s || '.'
                    WHERE id %% 1000 = 0 AND item_id IN (
                        SELECT items.id FROM items JOIN parts ON parts.id = part_id
                        WHERE episode_id = %s)""",
                [part.pk, episode.pk],
            )
        return episode

    return make
