"""What the faults' workers have and others don't: a name per session, and less patience.

An app of its own, because the constants below can only be reached once Django has started.
"""

import datetime as dt
import os

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class FaultsConfig(AppConfig):
    name = "tests.faults"
    label = "faults"

    def ready(self):
        from operations import delivery, runner

        connection_created.connect(name_session, dispatch_uid="tests.faults")
        # A lost delivery and a full disk are looked at again after a second, not half a
        # minute or a whole one: a test waits for several.
        delivery.REDELIVER_AFTER = dt.timedelta(seconds=1)
        runner.DISK_FULL_WAIT_SECONDS = 1


def name_session(connection, **signal):
    """So that tests.faults.sessions can tell which process a session is of."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false)", [f"pid {os.getpid()}"])
