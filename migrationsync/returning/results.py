"""What came of giving rows back to the source. Pure data."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

Row = dict[str, Any]


@dataclass(frozen=True)
class Returned:
    """One record; `uuid` is None where no mapping says it.

    `checksum` is the source row's own, now (`LegacyIdMapping.GONE`: it has none any more, or one
    that is marked as deleted); None: refused, and `problem` says why. `target_checksum` is of the
    target's row as it was given back: that is what the source has now, whatever became of
    the target's row since. `before` and `after` are the source's row by the declared columns, as
    JSON; None: there was, or is, none. Where nothing had to be written they are the same.
    """

    uuid: UUID | None
    legacy_id: int | None
    checksum: str | None
    target_checksum: str | None = None
    before: Row | None = None
    after: Row | None = None
    problem: str = ""

    @property
    def is_written(self) -> bool:
        return not self.problem and self.before != self.after


def as_json(row: Mapping[str, Any]) -> Row:
    return {name: _as_json(value) for name, value in row.items()}


def _as_json(value: Any) -> Any:
    match value:
        case bytes() | bytearray() | memoryview():
            return f"\\x{bytes(value).hex()}"
        case dt.datetime():
            return value.isoformat(sep=" ")
        case dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal() | UUID() | dt.timedelta():
            return str(value)
        case list():
            return [_as_json(each) for each in value]
    return value
