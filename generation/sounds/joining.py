"""A generation's sounds as one file: in order, evenly loud, with its title and chapters.

This is where a sound's file is looked at again since it was made: looking at each when it is
found in the cache would cost a request each, and tell less than reading it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from django.db import connection

from generation.audio import loudness, mp3
from generation.audio.tags import Chapter, write_tags
from generation.models import GenerationJob
from generation.script.outline import Outline
from generation.sounds import kept

# Read ahead while one is joined: a bucket takes its time for each. Bounds what is in memory.
AHEAD = 8
PAGE = 500


class Broken(Exception):
    """Sounds whose files are gone or aren't what they were: (key, name of the file) each."""

    def __init__(self, sounds: list[tuple[str, str]]) -> None:
        super().__init__(f"{len(sounds)} sounds are broken")
        self.sounds = sounds


@dataclass(frozen=True)
class Joined:
    """`starts_ms`: where each segment is heard, by its number."""

    duration_ms: int
    starts_ms: dict[int, int]


class _Segment(NamedTuple):
    number: int
    chapter: int
    key: str
    name: str
    lufs: float | None
    peak_db: float | None


def join(generation: GenerationJob, target: Path) -> Joined:
    """Write the episode's file, in constant memory. The same sounds give the same bytes.

    Raises Broken with all that are, before which none is joined in vain; WorkWaits and
    StorageRefused.
    """
    places: list[tuple[int, int]] = []  # (number, chapter)
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="reading") as pool:
        written = mp3.join(_parts(generation, pool, places), target)
    starts = dict(zip((number for number, _ in places), written.offsets_ms, strict=True))
    write_tags(
        target,
        title=generation.episode.title,
        duration_ms=written.duration_ms,
        chapters=_chapters(generation, places, starts, written.duration_ms),
    )
    with target.open("rb") as file:
        return Joined(mp3.measure(file).duration_ms, starts)


def _parts(
    generation: GenerationJob, pool: ThreadPoolExecutor, places: list[tuple[int, int]]
) -> Iterator[mp3.Part]:
    broken: list[tuple[str, str]] = []
    for segment, sound in _read_ahead(generation, pool):
        if sound is None:
            broken.append((segment.key, segment.name))
        elif not broken:  # else only the other broken ones are looked for
            places.append((segment.number, segment.chapter))
            loud = loudness.Loudness(segment.lufs, segment.peak_db or 0.0)
            yield mp3.Part(sound, loudness.gain_steps(loud))
    if broken:
        raise Broken(broken)


def _read_ahead(
    generation: GenerationJob, pool: ThreadPoolExecutor
) -> Iterator[tuple[_Segment, bytes | None]]:
    ahead: deque[tuple[_Segment, Future[bytes | None]]] = deque()
    for segment in _segments(generation):
        ahead.append((segment, pool.submit(kept.read, segment.name)))
        if len(ahead) > AHEAD:
            first, reading = ahead.popleft()
            yield first, reading.result()
    while ahead:
        first, reading = ahead.popleft()
        yield first, reading.result()


def _segments(generation: GenerationJob) -> Iterator[_Segment]:
    """In their order. The name is empty where the cache was cleaned of it."""
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT number, chapter, segment.cache_key, coalesce(audio_name, ''), lufs, peak_db
                FROM generation_segments segment
                LEFT JOIN audio_cache sound
                    ON sound.cache_key = segment.cache_key AND sound.state = 'ready'
                WHERE generation_id = %s AND number > %s ORDER BY number LIMIT %s
                """,
                [generation.pk, last, PAGE],
            )
            page = [_Segment(*row) for row in cursor.fetchall()]
        if not page:
            return
        yield from page
        last = page[-1].number


def _chapters(
    generation: GenerationJob,
    places: list[tuple[int, int]],
    starts_ms: dict[int, int],
    duration_ms: int,
) -> list[Chapter]:
    """Those of which something is said."""
    outline = Outline.from_json(generation.outline)
    begins: dict[int, int] = {}
    for number, chapter in places:
        begins.setdefault(chapter, starts_ms[number])
    ends = [*list(begins.values())[1:], duration_ms]
    return [
        Chapter(outline.chapters[chapter].title, start, end)
        for (chapter, start), end in zip(begins.items(), ends, strict=True)
    ]
