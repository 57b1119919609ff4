"""What a gate that doesn't let through answers with."""

from __future__ import annotations

from typing import NamedTuple


class Wait(NamedTuple):
    """Come back in `seconds`; `reason` is for the person who watches."""

    seconds: float
    reason: str
