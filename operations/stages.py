"""What a stage of an operation is to who watches it: its name, its words, what its rows count."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Rows(StrEnum):
    """What a stage's rows are to the operation's percentage."""

    OWN = "own"  # they are part of the work
    AGAIN = "again"  # all rows of the OWN stages, gone over once more
    APART = "apart"  # not counted: a few of the others' rows


class Stage(NamedTuple):
    """`unit`: what its rows are called. `weight`: its share of the percentage, for kinds whose
    stages count in different units; with weights, `rows` has no meaning."""

    name: str
    label: str
    rows: Rows = Rows.OWN
    unit: str = "rows"
    weight: int = 0


def label(name: str) -> str:
    """`in_progress` as a person reads it: “In progress”."""
    return name.replace("_", " ").capitalize()
