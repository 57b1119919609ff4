"""Which database errors are worth another try."""

from __future__ import annotations

import psycopg
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError

# https://www.postgresql.org/docs/current/errcodes-appendix.html
CONTENTION = {
    "40P01",  # deadlock_detected
    "40001",  # serialization_failure
    "55P03",  # lock_not_available
    "57014",  # query_canceled: the step's statement time-out
}
DISCONNECTED = (
    "08",  # connection exceptions
    "57P",  # admin and crash shutdown
    "25P03",  # idle_in_transaction_session_timeout: this process stood still for too long
)
DISK_FULL = "53100"


def sqlstate(error: BaseException) -> str:
    """The error's SQLSTATE, or '' when the server never answered."""
    return getattr(error.__cause__, "sqlstate", None) or getattr(error, "sqlstate", None) or ""


def is_contention(error: DatabaseError) -> bool:
    """Others were in the way, or the step was too large: a smaller one may pass."""
    return sqlstate(error) in CONTENTION


def is_disconnect(error: DatabaseError) -> bool:
    """The connection is gone; what the transaction did is rolled back."""
    # Another engine's errors, which have no SQLSTATE at all, tell nothing of our connection.
    if not isinstance(error.__cause__, psycopg.Error | None):
        return False
    if isinstance(error, InterfaceError):
        return True
    state = sqlstate(error)
    if not state:
        return isinstance(error, OperationalError)
    return state.startswith(DISCONNECTED)


def is_disk_full(error: DatabaseError) -> bool:
    """The server can't store any more. Trying at once or smaller doesn't help: a person does."""
    return sqlstate(error) == DISK_FULL
