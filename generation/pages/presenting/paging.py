"""Which page of a long list is asked for, in an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Pages:
    """Which page of a long list this is; `parameter` names it in the address."""

    number: int
    count: int
    parameter: str

    @property
    def before(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def after(self) -> int | None:
        return self.number + 1 if self.number < self.count else None


def window(parameters: Mapping[str, str], name: str, size: int) -> tuple[int, int]:
    """How many come before the page that is asked for, and its number; the first, for nonsense."""
    written = parameters.get(name, "1")
    number = int(written) if written.isdecimal() and written.isascii() and len(written) < 7 else 1
    number = max(number, 1)
    return (number - 1) * size, number
