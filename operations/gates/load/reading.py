"""What a collector saw, and the form every collector has.

Owns the shape only: where figures come from is each collector's, how long one is kept is
the state's, what follows from it is the decision's.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple

from operations.exceptions import OperationError


class Figure(NamedTuple):
    """A value, and when it was true where that isn't the moment it was read."""

    value: float
    at: dt.datetime | None = None


class NothingToRead(OperationError):
    """There is nothing this signal could tell of, and that is no fault; the message says why."""


class Unreadable(OperationError):
    """The signal can't be read; the message says why and the way out."""


class Collector(ABC):
    """Reads one signal. `configured_by` says how to make it look, for who reads the report."""

    signal: ClassVar[str]
    unit: ClassVar[str] = ""
    configured_by: ClassVar[str]
    read_again_after_seconds: ClassVar[float] = 5.0

    @abstractmethod
    def limit(self) -> float | None:
        """Above it the work waits. None: not configured, don't look."""

    @abstractmethod
    def read(self) -> Figure:
        """Raises NothingToRead; any other exception means that it can't be read. Leaves a
        transaction that the caller has open as it was."""


class State(StrEnum):
    OK = "ok"
    OVER = "over"
    UNREADABLE = "unreadable"
    NOTHING_TO_READ = "nothing to read"
    NOT_CONFIGURED = "not configured"


@dataclass(frozen=True)
class Reading:
    """One signal as it was seen at `at`.

    `value` is None when there was none: `error` says why it can't be read, or `note` why
    there is nothing to read. `limit` is None when the signal isn't configured.
    """

    signal: str
    unit: str
    limit: float | None
    value: float | None = None
    at: dt.datetime | None = None
    error: str = ""
    note: str = ""

    @property
    def state(self) -> State:
        if self.limit is None:
            return State.NOT_CONFIGURED
        if self.error:
            return State.UNREADABLE
        if self.value is None:
            return State.NOTHING_TO_READ
        return State.OVER if self.value > self.limit else State.OK

    @property
    def is_over(self) -> bool:
        return self.state is State.OVER

    @property
    def is_unreadable(self) -> bool:
        return self.state is State.UNREADABLE

    @property
    def why(self) -> str:
        """Why there is no value, where there is none."""
        return self.error or self.note

    def age_seconds(self, now: dt.datetime) -> float | None:
        return (now - self.at).total_seconds() if self.at else None
