"""Where the bars of a chart stand; the templates draw them as SVG, beside the same numbers.

Pure arithmetic, in units of a drawing of WIDTH by HEIGHT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 360.0, 150.0
# What a bar of nothing, or next to nothing, still shows where there is something.
LEAST = 1.5
GAP = 0.2
ROW = 34.0
# Under the words of its row.
BAR_TOP, BAR_HEIGHT = 16.0, 12.0


class Value(NamedTuple):
    """`told` says it in words, for whoever points at the bar."""

    label: str
    value: float
    told: str


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    value: Value

    @property
    def words_y(self) -> float:
        """Where the words above it stand."""
        return self.y - 4


class Chart(NamedTuple):
    """`bars` in the order of the values."""

    width: float
    height: float
    bars: list[Bar]

    @property
    def highest(self) -> str:
        return max(self.bars, key=lambda bar: bar.value.value).value.told


def columns(values: Sequence[Value]) -> Chart:
    """Side by side from the left, as high as they are large."""
    most = max((each.value for each in values), default=0)
    slot = WIDTH / max(len(values), 1)
    bars = []
    for index, each in enumerate(values):
        height = _length(each.value, most, HEIGHT)
        x, y = (index + GAP / 2) * slot, HEIGHT - height
        bars.append(_bar(x, y, slot * (1 - GAP), height, each))
    return Chart(WIDTH, HEIGHT, bars)


def rows(values: Sequence[Value]) -> Chart:
    """Under each other from the top, as long as they are large, with room above each for its
    words."""
    most = max((each.value for each in values), default=0)
    bars = [
        _bar(0, index * ROW + BAR_TOP, _length(each.value, most, WIDTH), BAR_HEIGHT, each)
        for index, each in enumerate(values)
    ]
    return Chart(WIDTH, ROW * len(values), bars)


def _length(value: float, most: float, whole: float) -> float:
    return max(value / most * whole, LEAST) if value and most else 0.0


def _bar(x: float, y: float, width: float, height: float, value: Value) -> Bar:
    return Bar(round(x, 2), round(y, 2), round(width, 2), round(height, 2), value)
