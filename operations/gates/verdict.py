"""What a gate that doesn't let through answers with."""

from __future__ import annotations

import re
from typing import NamedTuple


class Wait(NamedTuple):
    """Come back in `seconds`; `reason` (up to 255 characters) is for the person who watches."""

    seconds: float
    reason: str


_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


def is_same_cause(reason: str, other: str) -> bool:
    """Do they say the same, figures aside? “Database CPU 86% > 80%.”, then 91%, is one cause."""
    return _FIGURE.sub("0", reason) == _FIGURE.sub("0", other)
