"""PostgreSQL's arrays as texts: what COPY is given, and what is kept of it.

https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{},]|[^{},"]+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_AS_JSON = {"{": "[", "}": "]", ",": ",", "NULL": "null", "null": "null"}


def written(items: Sequence[Any]) -> str:
    """An array's literal, with all but nulls in quotes: PostgreSQL reads each item as a text of
    its type."""
    return "{" + ",".join(map(_item, items)) + "}"


def _item(item: Any) -> str:
    match item:
        case None:
            return "NULL"
        case list() | tuple():
            return written(item)
        case bool():
            return '"t"' if item else '"f"'
        case bytes() | bytearray() | memoryview():
            return rf'"\\x{bytes(item).hex()}"'
    return '"' + str(item).replace("\\", "\\\\").replace('"', '\\"') + '"'


def read(literal: str) -> list[Any]:
    """Its items as texts."""

    def as_json(token: str) -> str:
        if token.startswith('"'):
            return json.dumps(_ESCAPE.sub(r"\1", token[1:-1]))
        return _AS_JSON.get(token) or json.dumps(token)

    found: list[Any] = json.loads("".join(map(as_json, _TOKEN.findall(literal))))
    return found
