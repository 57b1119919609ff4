"""How long a copy will take, from what past copies of this installation took.

Nothing is known but what was measured here: without a past copy that is near enough in
size there is no expectation.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from duplication.levels import TREE
from duplication.models import Duplication
from duplication.stages import MEDIA
from operations.watching import duration

# How far back and how many of those: the nearest in size say most.
LOOKED_AT = 200
USED = 12
# A copy of so many times fewer rows says nothing of this one: its time is all beginning and end.
TOO_SMALL = 20
# So many copies with the wanted number of lanes are preferred to all others.
ENOUGH_LANES = 3


@dataclass(frozen=True)
class Expected:
    """`seconds` without waiting, from so many `copies`; None where nothing is known, and
    `text` says why. `exact` is False when not all rows could be counted: it takes longer."""

    seconds: float | None
    copies: int
    exact: bool
    text: str


@dataclass(frozen=True)
class PastCopy:
    """Its rows in all, what each stage had to do where that is known (rows of a level, files),
    the seconds that each worked, and those between the stages."""

    lanes: int
    rows: int
    amounts: Mapping[str, int]
    stages: Mapping[str, float]
    between: float


def past_copies(media_strategy: str) -> list[PastCopy]:
    """Newest first; only of the same media strategy, because files take their own time."""
    completed = Duplication.objects.filter(
        status=Duplication.Status["COMPLETED"],
        media_strategy=media_strategy,
        started_at__isnull=False,
        ended_at__isnull=False,
    ).order_by("-id")
    return [
        past
        for duplication in completed.only(
            "progress", "waited_seconds", "lanes", "started_at", "ended_at"
        )[:LOOKED_AT]
        if (past := past_copy(duplication))
    ]


def past_copy(duplication: Duplication) -> PastCopy | None:
    """None where the record is incomplete."""
    stages = {
        name: entry
        for name, entry in duplication.progress.items()
        if entry.get("started_at") and entry.get("ended_at")
    }
    levels = [level.stage for level in TREE]
    complete = all(level in stages for level in levels)
    if not complete or not duplication.started_at or not duplication.ended_at:
        return None
    amounts = {name: stages[name]["done"] for name in (*levels, MEDIA) if name in stages}
    seconds = dict(_worked(stages, duplication.waited_seconds))
    whole = (duplication.ended_at - duplication.started_at).total_seconds()
    between = whole - duplication.waited_seconds - sum(seconds.values())
    return PastCopy(
        lanes=duplication.lanes,
        rows=sum(amounts[level] for level in levels),
        amounts=amounts,
        stages=seconds,
        between=max(between, 0.0),
    )


def _worked(stages: Mapping[str, Any], waited_in_all: float) -> Iterable[tuple[str, float]]:
    """Each stage's seconds without what was waited in it."""
    in_order = sorted(stages.items(), key=lambda each: each[1]["started_at"])
    waited_before = [entry.get("waited_before", 0.0) for _, entry in in_order]
    waited_after = [*waited_before[1:], waited_in_all]
    for (name, entry), before, after in zip(in_order, waited_before, waited_after, strict=True):
        began, ended = (dt.datetime.fromisoformat(entry[at]) for at in ("started_at", "ended_at"))
        yield name, max((ended - began).total_seconds() - (after - before), 0.0)


def estimate(
    past: list[PastCopy], amounts: Mapping[str, int], *, exact: bool, lanes: int
) -> Expected:
    """The median of the past copies nearest in size: each stage's seconds per row or file
    times what there is now, and the time between the stages as it was.

    `amounts`: the rows of each level and, where files are copied, the files, by stage;
    `exact`: whether that is all of them.
    """
    total = sum(amounts[level.stage] for level in TREE)
    if not past:
        return _unknown("No such copy was made here yet, so nothing is known.", exact)
    usable = [each for each in past if each.rows * TOO_SMALL >= total]
    if not usable:
        largest = max(each.rows for each in past)
        return _unknown(
            f"No copy of this size was made here yet: the largest had {largest:,} rows.", exact
        )
    alike = [each for each in usable if each.lanes == lanes]
    if len(alike) >= ENOUGH_LANES:
        usable = alike
    nearest = sorted(usable, key=lambda each: abs(math.log(each.rows / total)))[:USED]
    seconds = median(each.between + sum(_scaled(each, amounts, total)) for each in nearest)
    if seconds < 1 and not exact:
        return _unknown("Too little could be counted in the time there was.", exact)
    how = "" if seconds < 1 else "about " if exact else "more than "
    copies = f"{len(nearest)} past {'copy' if len(nearest) == 1 else 'copies'} here"
    text = f"{how}{duration(seconds)}, from {copies}"
    return Expected(round(seconds, 1), len(nearest), exact, text)


def _scaled(past: PastCopy, amounts: Mapping[str, int], total: int) -> Iterable[float]:
    """A stage's time goes with its own rows or files where these are known, else with all rows."""
    for stage, seconds in past.stages.items():
        if stage not in amounts:
            yield seconds / past.rows * total
        elif past.amounts.get(stage):
            yield seconds / past.amounts[stage] * amounts[stage]


def _unknown(text: str, exact: bool) -> Expected:
    return Expected(None, 0, exact, text)
