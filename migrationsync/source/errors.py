"""What can go wrong at the source, told apart by what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import Error, InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper


class SourceError(Exception):
    """The legacy database can't be read."""


class SourceUnreachable(SourceError):
    """It doesn't answer, or stopped to. Nothing is lost: try again from the last checkpoint."""


@dataclass(frozen=True)
class Drift:
    """One difference between a declaration and the table it is about."""

    entity: str
    table: str
    column: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.table}.{self.column}" if self.column else self.table
        return f"{self.entity}: {place} {self.problem}" + (f" {self.hint}" if self.hint else "")


class SchemaDrift(SourceError):
    """The source's tables aren't what the entities say. Refused before the first row."""

    def __init__(self, drifts: Sequence[Drift]) -> None:
        self.drifts = tuple(drifts)
        super().__init__("\n".join(str(drift) for drift in drifts))


# MySQL: can't connect (2002, 2003, 2005), gone or lost (2006, 2013, 2055), refused to log in
# (1044, 1045, 1049), too many connections (1040, 1203), shutting down (1053, 1927).
_MYSQL = {2002, 2003, 2005, 2006, 2013, 2055, 1044, 1045, 1049, 1040, 1203, 1053, 1927}
# PostgreSQL: connection exceptions, refused to log in, no such database, shutting down or
# starting, too many connections.
_POSTGRESQL = ("08", "28", "3D000", "57P", "53300")
_SQLITE = ("unable to open database file", "disk I/O error")


@contextlib.contextmanager
def translated(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Tells a source that is away from a statement that is wrong.

    A lost connection is closed, so that the next attempt makes a new one.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if not is_away(connection.vendor, error):
            raise
        connection.close()
        raise SourceUnreachable(
            f"The legacy database “{connection.alias}” ({_where(connection)}) doesn't answer: "
            f"{_first_line(error)}. See that it runs and that the address is right; then the "
            "work goes on behind the last batch."
        ) from error


def is_away(vendor: str, error: Error) -> bool:
    if isinstance(error, InterfaceError):
        return True
    if vendor == "mysql":
        return bool(error.args) and error.args[0] in (_MYSQL | {0})
    if vendor == "postgresql":
        state = getattr(error.__cause__, "sqlstate", None)
        # Without a state the server never answered.
        return state is None or state.startswith(_POSTGRESQL)
    return any(sign in str(error) for sign in _SQLITE)


_ENGINES = {"postgresql": "PostgreSQL", "mysql": "MySQL"}


def _where(connection: BaseDatabaseWrapper) -> str:
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"the file {settings['NAME']}"
    host = settings["HOST"] or "this machine"
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    # Not its display name: Django asks the server whether it is MySQL or MariaDB.
    return f"{_ENGINES[connection.vendor]}, {host}{port}, {settings['NAME']}"


def _first_line(error: Error) -> str:
    detail = error.args[1] if len(error.args) > 1 else error
    return str(detail).strip().partition("\n")[0].rstrip(".") or type(error).__name__
