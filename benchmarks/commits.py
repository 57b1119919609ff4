"""When each event was committed, on the clock of the database server.

A deferred trigger of the benchmark's own database notes it in the event's transaction, as
the first thing of the COMMIT that lasts: the foreign keys are checked before it, the log's
write to the disk and the notification come after. So an event is never seen before its time.
The server must share this machine's clock.
"""

from __future__ import annotations

from django.db import connection

from benchmarks.replay import Sent
from operations import events
from operations.models import Operation

NOTE_COMMITS = """
CREATE TABLE benchmark_commits (
    kind text, operation_id text, sequence bigint, committed_at double precision
);
CREATE FUNCTION benchmark_note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO benchmark_commits VALUES (
        NEW.kind, NEW.operation_id, NEW.sequence, extract(epoch FROM clock_timestamp())
    );
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER benchmark_note_commit
    AFTER INSERT ON operation_events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION benchmark_note_commit();
"""


def note_commits() -> None:
    """From now on, in the database that Django is connected to."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE_COMMITS)


def stream_of(operation: Operation) -> list[Sent]:
    """Every event of the operation, in order, with the time of its commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sequence, committed_at FROM benchmark_commits"
            " WHERE kind = %s AND operation_id = %s",
            [operation.kind, str(operation.pk)],
        )
        committed_at = dict(cursor.fetchall())
    return [
        Sent(committed_at[event.sequence], event.as_message())
        for event in events.after(operation.kind, operation.pk, 0)
    ]
