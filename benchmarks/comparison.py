"""One comparison: every way of copying, on the same trees, run after run in turn.

Owns which way runs when, that each has copied everything, and the trees. Doesn't own how a
way copies (ours, opponents) nor what the times mean (figures).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from django.db import connection
from rich.console import Console

from benchmarks import opponents, ours
from benchmarks.databases import Databases
from benchmarks.figures import Measurement, Timing
from benchmarks.sources import BLOCKS_PER_ITEM, PARTS, Source
from content.synthetic import make_episode

# Above this the slow opponent runs once and on balanced trees alone: it takes minutes.
FETCH_INSERT_EACH_RUN_UP_TO = 100_000
# It goes row by row, so its rate doesn't depend on the size: a small tree tells it.
DJANGO_CLONE_SOURCE = Source("balanced", 2_000)

# Copies the episode with this id.
Way = Callable[[int], Timing]


class WrongCopy(Exception):
    """A way of copying left rows out; its time would mean nothing."""


class Comparison:
    def __init__(self, databases: Databases, console: Console) -> None:
        self._databases = databases
        self._console = console
        self.measurements: list[Measurement] = []

    def compare(self, sources: Sequence[Source], *, runs: int) -> None:
        """Measure every way on every source, `runs` times in turn, showing each result."""
        for source in [DJANGO_CLONE_SOURCE, *sources]:
            with self._console.status(f"Making {source}"), self._databases.source():
                episode_id = _make(source)
            for run in range(1, runs + 1):
                for name, way in self._ways(source, run):
                    self._measure(source, episode_id, name, way, run)

    def _ways(self, source: Source, run: int) -> Iterator[tuple[str, Way]]:
        if source is DJANGO_CLONE_SOURCE:
            yield "django_clone", opponents.copy_django_clone
            return
        yield "raw", lambda episode: opponents.copy_raw(self._databases.run_url, episode)
        yield "one_lane", lambda episode: ours.copy_episode(episode, lanes=1)
        yield "two_lanes", lambda episode: ours.copy_episode(episode, lanes=2)
        if source.blocks <= FETCH_INSERT_EACH_RUN_UP_TO or (
            run == 1 and source.shape == "balanced"
        ):
            yield "fetch_insert", opponents.copy_fetch_insert

    def _measure(self, source: Source, episode_id: int, name: str, way: Way, run: int) -> None:
        with self._console.status(f"{source}: {name}, run {run}"):
            self._databases.restore()
            timing = way(episode_id)
            _check_copy(source)
        measurement = Measurement(
            way=name,
            source=source,
            run=run,
            timing=timing,
        )
        self.measurements.append(measurement)
        self._console.print(f"{source}: {name}, run {run}: {timing.copy_seconds:.2f} s")


def _make(source: Source) -> int:
    """Put the tree, alone, into the source database; returns the episode's id.

    Vacuumed and analyzed, as tables that have been in use for a while are.
    """
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE episodes, parts, items, blocks CASCADE")
        episode = make_episode(
            parts=PARTS,
            items=source.items // PARTS,
            blocks=BLOCKS_PER_ITEM,
            skewed=source.shape == "skewed",
        )
        cursor.execute("VACUUM (ANALYZE) episodes, parts, items, blocks, id_map")
    return episode.pk


def _check_copy(source: Source) -> None:
    """Twice the rows, and every block of the copy below the copy's root. Raises WrongCopy."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FROM blocks
                JOIN items ON items.id = blocks.item_id
                JOIN parts ON parts.id = items.part_id
            WHERE parts.episode_id = (SELECT max(id) FROM episodes)
            """
        )
        (blocks,) = cursor.fetchone()
    if blocks != source.blocks:
        raise WrongCopy(f"{blocks:,} of {source.blocks:,} blocks were copied.")
