"""A record's values as JSON: what JSON has stays, the rest is text."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from migrationsync.comparing import Explanation


def explained(explanation: Explanation) -> dict[str, Any]:
    return {
        "legacy_id": explanation.legacy_id,
        "uuid": explanation.uuid and str(explanation.uuid),
        "legacy": _row(explanation.legacy),
        "last_synced": _row(explanation.last_synced),
        "current": _row(explanation.current),
        "differing": list(explanation.differing),
        "problems": list(explanation.problems),
    }


def as_json(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {str(key): as_json(each) for key, each in value.items()}
        case list() | tuple():
            return [as_json(each) for each in value]
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)


def _row(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: as_json(value) for name, value in row.items()}
