"""From bytes to JSON values. Knows JSON's syntax; what a document must hold is validation's."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from content.exceptions import InvalidDocument, Mistake


class JsonObject(dict[str, Any]):
    """A parsed object that remembers the names it was given more than once.

    A plain dict keeps the last of them and loses the others without a word.
    """

    repeated: tuple[str, ...] = ()


def parse_document(source: bytes) -> object:
    """The JSON value in `source` (UTF-8, with or without a byte order mark).

    Raises InvalidDocument with one mistake that names line and column.
    """
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        column = error.start - source.rfind(b"\n", 0, error.start)
        raise _unreadable(
            f"Not UTF-8 at line {line}, byte {column} of the line: save the file as UTF-8."
        ) from error
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _unreadable(
            f"Not JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except RecursionError as error:
        raise _unreadable(
            "Nested too deeply: a document has parts, their items and their blocks, no more."
        ) from error
    except ValueError as error:  # a number with thousands of digits
        raise _unreadable(f"Not a document: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = JsonObject(pairs)
    if len(result) < len(pairs):
        times = Counter(name for name, _ in pairs)
        result.repeated = tuple(name for name in times if times[name] > 1)
    return result


def _refuse_constant(name: str) -> object:
    raise InvalidDocument([Mistake((), f"{name} is not JSON.")])


def _unreadable(message: str) -> InvalidDocument:
    return InvalidDocument([Mistake((), message)])
