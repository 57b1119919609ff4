"""What the benchmarks' command lines take."""

from __future__ import annotations

import argparse

from benchmarks.sources import SIZE_UNIT


def count(text: str) -> int:
    """A whole number, at least one."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"at least one, not {text}")
    return number


def blocks(text: str) -> int:
    """The size of one tree."""
    if (number := int(text)) < SIZE_UNIT or number % SIZE_UNIT:
        raise argparse.ArgumentTypeError(f"sizes are multiples of {SIZE_UNIT:,}: {text}")
    return number
