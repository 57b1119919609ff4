"""Before a complete copy is taken away: proving that nobody's work goes with it.

Per level the sums of the verification are taken again. Only where they, or the rows' times,
say that something changed, rows are compared one by one, to say which.
"""

from __future__ import annotations

from typing import Any

from duplication.exceptions import CannotRemove
from duplication.levels import CHILD_LEVELS
from duplication.models import Duplication, RemovalJob
from duplication.removal.changes import (
    Change,
    compare_mapped,
    episode_changes,
    find_added,
    sums_of_chunk,
    verified_sums,
)
from duplication.removal.conditions import MAX_NAMED, duplicated_since, is_undo, obstacle
from duplication.removal.hiding import hide_copy, lock_copy
from duplication.walk import Position
from operations.work import Step, Work

SUMS, MAPPED, ADDED = "sums", "mapped", "added"
LOOKS = {MAPPED: compare_mapped, ADDED: find_added}


class CheckCopy(Work[RemovalJob]):
    """Cursor: [index of the level, "sums" or "mapped" or "added", [parent, id] to go on after].

    *sums* adds up the level, *mapped* compares its copied rows, *added* looks for others.
    Parameters: what was found, {"changes": [[node, id, what]], "unsure": [...]}.
    """

    initial_size = 20_000
    min_size = 500
    max_size = 100_000

    def step(self, job: RemovalJob, size: int, prepared: Any) -> Step:
        removal = job.removal
        if job.cursor is None:
            return self._begin(job)
        if removal.even_if_changed:
            return Step(cursor=job.cursor, finished=True)
        index, phase, at = job.cursor
        if phase == SUMS:
            return self._add_up(job, index, Position(*at), size)
        return self._compare(job, index, phase, Position(*at), size)

    def _begin(self, job: RemovalJob) -> Step:
        """Hide the copy (again, if this is a retry), so that nobody changes it meanwhile."""
        removal = job.removal
        duplication = lock_copy(removal.duplication_id)
        is_checked = is_undo(duplication) and not removal.even_if_changed
        found = obstacle(duplication) or (duplicated_since(duplication) if is_checked else None)
        if found:
            raise CannotRemove(found.code, found.message)
        if is_checked and (changes := episode_changes(duplication)):
            raise changed_since(changes)
        hide_copy(removal, duplication)
        if not is_checked or duplication.new_episode_id is None:
            return Step(cursor="not needed", finished=True)
        total = sum(verified_sums(duplication, level)["rows"] for _, level in CHILD_LEVELS)
        return Step(cursor=[0, SUMS, [0, 0]], finished=False, total=total)

    def _add_up(self, job: RemovalJob, index: int, start: Position, size: int) -> Step:
        duplication = job.removal.duplication
        above, level = CHILD_LEVELS[index]
        sums, last = sums_of_chunk(duplication, above, level, start, size)
        rows = sums["rows"]
        added_up = {
            key: job.counts.get(f"{level.stage}.{key}", 0) + value for key, value in sums.items()
        }
        if rows == size:
            reached: list[Any] = [index, SUMS, last]
        elif added_up["saved"] or _differs(duplication, index, added_up):
            reached = [index, MAPPED, [0, 0]]
        else:
            reached = [index + 1, SUMS, [0, 0]]
        return Step(
            cursor=reached,
            finished=reached[0] == len(CHILD_LEVELS),
            rows=rows,
            done=rows,
            counts={f"{level.stage}.{key}": value for key, value in sums.items()},
        )

    def _compare(self, job: RemovalJob, index: int, phase: str, start: Position, size: int) -> Step:
        duplication = job.removal.duplication
        above, level = CHILD_LEVELS[index]
        compared = LOOKS[phase](duplication, above, level, start, size)
        changes = _known(job, "changes") + compared.changes
        unsure = _known(job, "unsure") + compared.unsure
        if len(changes) >= MAX_NAMED:
            raise changed_since(changes)
        if compared.rows == size:
            reached: list[Any] = [index, phase, compared.last]
        elif phase == MAPPED:
            reached = [index, ADDED, [0, 0]]
        else:
            # The sums differ: if not by what our own hand did, then by these rows.
            counts = {
                key.removeprefix(f"{level.stage}."): value for key, value in job.counts.items()
            }
            if _differs(duplication, index, counts):
                changes = changes or unsure
            if changes:
                raise changed_since(changes)
            unsure = []
            reached = [index + 1, SUMS, [0, 0]]
        job.parameters = {"changes": changes, "unsure": unsure[:MAX_NAMED]}
        job.save(update_fields=["parameters"])
        return Step(cursor=reached, finished=reached[0] == len(CHILD_LEVELS), rows=compared.rows)


def changed_since(changes: list[Change]) -> CannotRemove:
    """The refusal that names the rows, with the way on."""
    named = ", ".join(map(str, changes[:MAX_NAMED]))
    more = " and perhaps more" if len(changes) >= MAX_NAMED else ""
    return CannotRemove(
        "changed_since",
        f"The copy was changed since it was complete: {named}{more}. Keep it, or remove it even "
        "if it was changed (even_if_changed): these changes are lost then.",
    )


def _differs(duplication: Duplication, index: int, sums: dict[str, int]) -> bool:
    verified = verified_sums(duplication, CHILD_LEVELS[index][1])
    return any(sums.get(key, 0) != value for key, value in verified.items())


def _known(job: RemovalJob, name: str) -> list[Change]:
    return [Change(*change) for change in job.parameters.get(name, [])]
