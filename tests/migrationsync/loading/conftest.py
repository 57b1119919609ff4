import pytest
from django.db import connection

from tests.migrationsync.loading.tickets import Ticket, Tickets


@pytest.fixture
def tickets(db, source, run):
    with connection.schema_editor() as editor:
        editor.create_model(Ticket)
    return Tickets(source, run)
