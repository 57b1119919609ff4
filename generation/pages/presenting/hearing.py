"""The audio: where it is heard, its chapters, and a page of its transcript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.db.models import F, Min

from content.models import Episode
from generation.kind import audio_url
from generation.models import GenerationJob, GenerationSegment
from generation.pages.presenting.paging import Pages, window
from generation.pages.presenting.writing import MOST_CHAPTERS, chapter_titles

SEGMENTS_PER_PAGE = 200


class Moment(NamedTuple):
    """A chapter's beginning. `page` is the transcript's page that has it, `number` its first
    segment's."""

    title: str
    start_ms: int
    number: int
    page: int

    @property
    def at(self) -> str:
        return clock(self.start_ms)

    @property
    def seconds(self) -> str:
        """As the address of a moment in a file has it."""
        return f"{self.start_ms / 1000:.3f}"


class Said(NamedTuple):
    """One segment as it is heard."""

    number: int
    chapter: str  # where another one begins
    speaker: str
    text: str
    start_ms: int
    end_ms: int

    @property
    def at(self) -> str:
        return clock(self.start_ms)

    @property
    def seconds(self) -> str:
        """As the address of a moment in a file has it."""
        return f"{self.start_ms / 1000:.3f}"


class AudioView(NamedTuple):
    """`page_starts_ms`: where each page of the transcript begins, so that a player finds the
    page of a moment."""

    url: str
    file_name: str
    title: str
    duration: str
    size_bytes: int
    chapters: list[Moment]
    transcript: list[Said]
    has_guest: bool
    page_starts_ms: list[int]
    pages: Pages


def audio(generation: GenerationJob, parameters: Mapping[str, str]) -> AudioView | None:
    """The page of the transcript that `parameters` ask for ("transcript"); None where there is
    no audio, or the episode has another one by now. Four queries."""
    if not has_audio(generation):
        return None
    first, number = window(parameters, "transcript", SEGMENTS_PER_PAGE)
    rows = GenerationSegment.objects.filter(
        generation=generation, start_ms__isnull=False, duration_ms__isnull=False
    ).order_by("number")
    begins = [
        each.start_ms or 0
        for each in rows.annotate(rest=F("number") % SEGMENTS_PER_PAGE)
        .filter(rest=1)
        .only("start_ms")
    ]
    titles = chapter_titles(generation)
    chapters = [
        Moment(
            titles.get(each["chapter"], f"Chapter {each['chapter'] + 1}"),
            each["start"],
            each["first"],
            (each["first"] - 1) // SEGMENTS_PER_PAGE + 1,
        )
        for each in rows.order_by()
        .values("chapter")
        .annotate(first=Min("number"), start=Min("start_ms"))
        .order_by("first")[:MOST_CHAPTERS]
    ]
    firsts = {each.number: each.title for each in chapters}
    said = [
        Said(
            each.number,
            firsts.get(each.number, ""),
            each.speaker,
            each.text,
            each.start_ms or 0,
            (each.start_ms or 0) + (each.duration_ms or 0),
        )
        for each in rows.filter(number__gt=first, number__lte=first + SEGMENTS_PER_PAGE)
    ]
    return AudioView(
        url=generation.episode.audio_url,
        file_name=f"{generation.episode.title}.mp3",
        title=generation.episode.title,
        duration=clock(generation.audio_duration_ms),
        size_bytes=generation.audio_bytes,
        chapters=chapters,
        transcript=said,
        has_guest=generation.episode.type == Episode.Type.DIALOGUE,
        page_starts_ms=begins,
        pages=Pages(number, max(len(begins), 1), "transcript"),
    )


def has_audio(generation: GenerationJob) -> bool:
    """Whether what it made is what is heard of its episode."""
    return generation.has_status("COMPLETED") and generation.episode.audio_url == audio_url(
        generation
    )


def clock(milliseconds: int) -> str:
    """“4:05”, “1:02:03”: as a player shows it."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
