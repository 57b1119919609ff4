"""What can go wrong at the source, told apart by what to do about it.

No error of the source's database leaves a session as its driver raised it: it would be taken for
one of the target's, which is tried again, waited for and explained in other ways.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import DatabaseError, Error, InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper


class SourceError(Exception):
    """The legacy database can't be read."""


class SourceUnreachable(SourceError):
    """It doesn't answer, or stopped to. Nothing is lost: try again from the last checkpoint."""


class SourceDenied(SourceUnreachable):
    """It answers, but doesn't let this user in or read: that is a person's to change."""


class SourceFailed(SourceError, DatabaseError):
    """It answered a statement with an error that is neither of these."""


class SourceInterrupted(SourceFailed, OperationalError):
    """It broke a statement off that took too long or was in another's way: a smaller one may
    pass."""

    # What the kernel knows it by.
    sqlstate = "57014"


@dataclass(frozen=True)
class Drift:
    """One difference between a declaration and the table it is about. `entity` is empty where
    only the table is known."""

    entity: str
    table: str
    column: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.table}.{self.column}" if self.column else self.table
        told = f"{place} {self.problem}" + (f" {self.hint}" if self.hint else "")
        return f"{self.entity}: {told}" if self.entity else told


class SchemaDrift(SourceError):
    """The source's tables, or the keys in them, aren't what the entities say. What of that can be
    seen beforehand is refused before the first row."""

    def __init__(self, drifts: Sequence[Drift]) -> None:
        self.drifts = tuple(drifts)
        super().__init__("\n".join(str(drift) for drift in drifts))


# MySQL: can't connect (2002, 2003, 2005), gone or lost (2006, 2013, 2055), no such database
# (1049), too many connections (1040, 1203), shutting down (1053, 1927).
_MYSQL = {0, 2002, 2003, 2005, 2006, 2013, 2055, 1049, 1040, 1203, 1053, 1927}
# To the server, to a database, to a table, to a column; from this machine.
_MYSQL_DENIED = {1045, 1698, 1044, 1142, 1143, 1130, 1227, 1370}
# Its time was up (MariaDB, MySQL), or somebody ended it.
_MYSQL_INTERRUPTED = {1969, 3024, 1317}
_MYSQL_BUSY = {1205, 1213}
# PostgreSQL: connection exceptions, no such database, shutting down or starting, too many
# connections.
_POSTGRESQL = ("08", "3D000", "57P", "53300")
_POSTGRESQL_DENIED = ("28", "42501")
# Deadlock, serialization (a standby's too), lock time-out, statement time-out.
_POSTGRESQL_INTERRUPTED = ("40P01", "40001", "55P03", "57014")
# Of a refused login psycopg has only the text, in the server's language.
_LOGIN_REFUSED = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "permission denied for database",
    "is not permitted to log in",
    "authentication failed for user",
)
_NO_ROLE = 'role "'
_SQLITE = ("unable to open database file", "disk I/O error")
_SQLITE_BUSY = "is locked"


@contextlib.contextmanager
def translated(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Raises what goes wrong at the source as a SourceError.

    A lost connection is closed, so that the next attempt makes a new one.
    """
    _refuse_missing_file(connection)
    try:
        yield
    except SourceError:
        # From a session within this one.
        raise
    except Error as error:
        raise _translated(connection, error) from error


def is_away(vendor: str, error: Error) -> bool:
    """Whether the source doesn't answer, or no more."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    if vendor == "mysql":
        return _number(error) in _MYSQL
    if vendor == "postgresql":
        state = _state(error)
        # Without a state the server never answered.
        return not state or state.startswith(_POSTGRESQL)
    return any(sign in str(error) for sign in _SQLITE)


def is_denied(vendor: str, error: Error) -> bool:
    """Whether this user isn't let in, or may not read."""
    if vendor == "mysql":
        return _number(error) in _MYSQL_DENIED
    if vendor == "postgresql":
        state, told = _state(error), str(error)
        if state:
            return state.startswith(_POSTGRESQL_DENIED)
        no_role = _NO_ROLE in told and "does not exist" in told
        return no_role or any(sign in told for sign in _LOGIN_REFUSED)
    return False


def _is_busy(vendor: str, error: Error) -> bool:
    if vendor == "mysql":
        return _number(error) in _MYSQL_BUSY
    return vendor == "sqlite" and _SQLITE_BUSY in str(error)


def _is_interrupted(vendor: str, error: Error) -> bool:
    if vendor == "mysql":
        return _number(error) in _MYSQL_INTERRUPTED
    return vendor == "postgresql" and _state(error).startswith(_POSTGRESQL_INTERRUPTED)


def _translated(connection: BaseDatabaseWrapper, error: Error) -> SourceError:
    vendor = connection.vendor
    source = f"The legacy database “{connection.alias}” ({_where(connection)})"
    told = first_line(error)
    # First: a refused login has no state either.
    if is_denied(vendor, error):
        return SourceDenied(
            f"{source} refuses this user: {told}. Mend the user, the password or the address in "
            "the settings, or the user's rights in the source (docs/sync-rights.md); then try "
            "again."
        )
    if is_away(vendor, error):
        connection.close()
        return _unreachable(connection, told)
    if _is_busy(vendor, error):
        return SourceUnreachable(
            f"{source} is busy, somebody else holds it: {told}. The work goes on behind the last "
            "batch when it is free."
        )
    if _is_interrupted(vendor, error):
        return SourceInterrupted(f"{source} broke a statement off: {told}.")
    return SourceFailed(f"{source} answers with an error: {told}.")


def _unreachable(connection: BaseDatabaseWrapper, told: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"The legacy database “{connection.alias}” ({_where(connection)}) doesn't answer: "
        f"{told}. See that it runs and that the address is right; then the work goes on behind "
        "the last batch."
    )


def _refuse_missing_file(connection: BaseDatabaseWrapper) -> None:
    """SQLite would make an empty database of a wrong path."""
    if connection.vendor != "sqlite":
        return
    name = str(connection.settings_dict["NAME"])
    if name.startswith("file:") or ":memory:" in name or Path(name).exists():
        return
    connection.close()
    raise _unreachable(connection, "there is no such file")


def _number(error: Error) -> int | None:
    number = error.args[0] if error.args else None
    return number if isinstance(number, int) else None


def _state(error: Error) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""


_ENGINES = {"postgresql": "PostgreSQL", "mysql": "MySQL"}


def _where(connection: BaseDatabaseWrapper) -> str:
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"the file {settings['NAME']}"
    host = settings["HOST"] or "this machine"
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    # Not its display name: Django asks the server whether it is MySQL or MariaDB.
    return f"{_ENGINES[connection.vendor]}, {host}{port}, {settings['NAME']}"


def first_line(error: Error) -> str:
    """What the engine says, without a full stop."""
    detail = error.args[1] if len(error.args) > 1 else error
    return str(detail).strip().partition("\n")[0].rstrip(".") or type(error).__name__
