"""What a generation made and cost, and what one would, for a terminal."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, TextIO

from django.core.files.storage import default_storage
from rich.console import Console

from content.models import Episode
from generation.estimate import Estimate
from generation.limits import usd
from generation.models import GenerationJob, GenerationSegment
from generation.stages import STAGES
from operations.watching import duration

LEFT_OUT_SHOWN = 5
# What the stages count, for `operations.terminal.ProgressView`.
UNITS = {stage.name: stage.unit for stage in STAGES}


class Result(NamedTuple):
    """`path` is the file's place on this machine, or its address where storage is elsewhere.
    `cost` in US dollars; `seconds` is how long it worked, without waiting."""

    path: str
    duration_ms: int
    segments: int
    cache_hits: int
    chars_paid: int
    chars_cached: int
    cost: Decimal
    seconds: float


def result(generation: GenerationJob) -> Result:
    """Of one that is completed."""
    segments = GenerationSegment.objects.filter(generation=generation)
    began_at, ended_at = generation.started_at, generation.ended_at
    lasted = (ended_at - began_at).total_seconds() if began_at and ended_at else 0.0
    return Result(
        path=_path(generation.audio_name),
        duration_ms=generation.audio_duration_ms,
        segments=segments.count(),
        cache_hits=segments.filter(state=GenerationSegment.State.CACHED).count(),
        chars_paid=generation.chars_paid,
        chars_cached=generation.chars_cached,
        cost=generation.cost,
        seconds=round(max(lasted - generation.waited_seconds, 0.0), 3),
    )


def show_result(stream: TextIO, found: Result) -> None:
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    for name, value in (
        ("File", found.path),
        ("Plays", duration(found.duration_ms / 1000)),
        ("Segments", f"{found.segments:,}, {found.cache_hits:,} of them from the cache"),
        ("Characters", f"{found.chars_paid:,} paid for, {found.chars_cached:,} from the cache"),
        ("Cost", usd(found.cost)),
    ):
        console.print(f"{name:<11} {value}")


def show_estimate(stream: TextIO, episode: Episode, expected: Estimate, limit: str) -> None:
    """`limit`: what would refuse it; empty: nothing."""
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    console.print(f"Generating the audio of episode {episode.pk}, “{episode.title}”, would use:")
    for name, value in (
        ("Tokens", f"{expected.tokens_in:,} in, {expected.tokens_out:,} out"),
        (
            "Characters",
            f"{expected.chars:,}, {expected.cached_chars:,} of them "
            f"({expected.cached_share:.0%}) from the cache",
        ),
        ("Cost", f"about {usd(expected.cost)}"),
        ("Time", _expected_time(expected.seconds)),
    ):
        console.print(f"{name:<11} {value}")
    if left_out := len(expected.left_out):
        console.print(f"Not said: {left_out:,} {'block' if left_out == 1 else 'blocks'}.")
        for each in expected.left_out[:LEFT_OUT_SHOWN]:
            console.print(f"  block {each.block_id}: {each.reason}")
        if left_out > LEFT_OUT_SHOWN:
            console.print(f"  and {left_out - LEFT_OUT_SHOWN:,} more")
    if limit:
        console.print(f"It would be refused: {limit}")


def _expected_time(seconds: float | None) -> str:
    if seconds is None:
        return "not known before the first one here"
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def _path(name: str) -> str:
    try:
        return str(default_storage.path(name))
    except NotImplementedError:
        return str(default_storage.url(name))
