"""How far the segments are: counts, and at most 240 cells for a picture."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Count, F, Max

from generation.models import GenerationJob, GenerationSegment

MOST_CELLS = 240

State = GenerationSegment.State


class Cell(NamedTuple):
    """Neighbouring segments. `state`: pending, some (not all are there), made, cached (all are,
    and all came from the cache)."""

    state: str
    title: str


class SegmentsView(NamedTuple):
    total: int
    made: int
    cached: int
    cells: list[Cell]
    per_cell: int

    @property
    def said(self) -> int:
        return self.made + self.cached

    @property
    def pending(self) -> int:
        return self.total - self.said


def segments(generation: GenerationJob) -> SegmentsView | None:
    """None before there are any. Two queries."""
    rows = GenerationSegment.objects.filter(generation=generation).order_by()
    total = rows.aggregate(last=Max("number"))["last"]
    if total is None:
        return None
    per_cell = -(-total // MOST_CELLS)
    counts: dict[int, dict[str, int]] = {}
    found = (
        rows.annotate(cell=(F("number") - 1) / per_cell)
        .values_list("cell", "state")
        .annotate(count=Count("pk"))
    )
    for cell, state, count in found:
        counts.setdefault(cell, {})[state] = count
    states = [state for of_cell in counts.values() for state in of_cell.items()]
    return SegmentsView(
        total=sum(count for _, count in states),
        made=sum(count for state, count in states if state == State.MADE),
        cached=sum(count for state, count in states if state == State.CACHED),
        cells=[_cell(index, of_cell, per_cell) for index, of_cell in sorted(counts.items())],
        per_cell=per_cell,
    )


def _cell(index: int, counts: dict[str, int], per_cell: int) -> Cell:
    total = sum(counts.values())
    cached, made = counts.get(State.CACHED, 0), counts.get(State.MADE, 0)
    said = cached + made
    if said == 0:
        state, word = "pending", "not yet"
    elif said < total:
        state, word = "some", f"{said} of {total} are there"
    elif made:
        state, word = "made", "made"
    else:
        state, word = "cached", "used again"
    first = index * per_cell + 1
    which = f"Piece {first:,}" if total == 1 else f"Pieces {first:,} to {first + total - 1:,}"
    return Cell(state, f"{which}: {word}")
