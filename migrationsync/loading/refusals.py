"""A row that can't be brought over, with its reasons, as the quarantine keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrationsync.converters import ConversionError
from migrationsync.entities import RowError

# Of one value in the quarantine.
KEPT_CHARACTERS = 1000


@dataclass(frozen=True)
class Refusal:
    """`data` is the row by the source's columns; None where it has to be read again."""

    key: int
    errors: tuple[ConversionError, ...]
    data: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, error: RowError, columns: Sequence[str], row: Sequence[Any]) -> Refusal:
        return cls(row[0], error.errors, kept(columns, row))

    @property
    def reasons(self) -> list[dict[str, str]]:
        return [
            {
                "column": each.column,
                "value": _storable(each.value),
                "problem": _storable(each.why),
            }
            for each in self.errors
        ]


def kept(columns: Iterable[str], row: Iterable[Any]) -> dict[str, Any]:
    """A row as JSON that PostgreSQL can store, long values shortened."""
    return {name: _kept(value) for name, value in zip(columns, row, strict=False)}


def _kept(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        size = len(value)
        value, unit = bytes(value[: KEPT_CHARACTERS // 2]).hex(), "bytes"
        is_cut = size > KEPT_CHARACTERS // 2
    else:
        text = value if isinstance(value, str) else str(value)
        size, unit, is_cut = len(text), "characters", len(text) > KEPT_CHARACTERS
        value = text[:KEPT_CHARACTERS]
    written = _storable(value)
    return f"{written}… ({size:,} {unit})" if is_cut else written


def _storable(text: str) -> str:
    """NUL and halves of surrogate pairs have no place in jsonb."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
