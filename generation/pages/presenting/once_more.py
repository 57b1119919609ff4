"""What can be made anew of a generation, and what of it is used again then."""

from __future__ import annotations

from typing import NamedTuple

from content.models import Episode
from generation.models import GenerationJob, GenerationSegment

State = GenerationSegment.State


class Way(NamedTuple):
    """A stage to make anew from, what is used again then, and what isn't."""

    stage: str
    label: str
    reused: str
    anew: str


class Link(NamedTuple):
    """`url` is the start page's, where voices are chosen."""

    way: Way
    url: str


WAYS = (
    Way("", "Only what has changed", "All that still fits the content", "What was edited since"),
    Way("outline", "From the outline", "Nothing", "Outline, script and audio"),
    Way("script", "From the script", "The outline", "Script and audio"),
    Way(
        "audio",
        "From the audio",
        "Outline and script, and each sound that was made before",
        "What is said in another voice, at another speed, or in edited words",
    ),
    Way("upload", "From the upload", "Outline, script and all sounds", "The file"),
)


class AgainView(NamedTuple):
    """`ways` are empty while it runs. `voices`: speaker and voice, as it was spoken."""

    ways: list[Link]
    voices: list[tuple[str, str]]
    speed: float


def again(generation: GenerationJob, *, start_url: str) -> AgainView:
    """What can be made anew, at the start page `start_url` (`?from=` names the stage). One
    query."""
    possible = set() if generation.is_active else _possible(generation)
    return AgainView(
        ways=[Link(way, f"{start_url}?from={way.stage}") for way in WAYS if way.stage in possible],
        voices=_spoken_voices(generation),
        speed=generation.speed,
    )


def _possible(generation: GenerationJob) -> set[str]:
    possible = {"", "outline"}
    if generation.outline is None:
        return possible
    possible.add("script")
    # The script itself may be megabytes: whether there is one is asked of the database.
    has_script = GenerationJob.objects.filter(pk=generation.pk, script__isnull=False).exists()
    if has_script:
        possible.add("audio")
        rows = GenerationSegment.objects.filter(generation=generation)
        if rows.exists() and not rows.filter(state=State.PENDING).exists():
            possible.add("upload")
    return possible


def _spoken_voices(generation: GenerationJob) -> list[tuple[str, str]]:
    is_dialogue = generation.episode.type == Episode.Type.DIALOGUE
    return [
        (speaker, voice)
        for speaker, voice in generation.voices.items()
        if is_dialogue or speaker == "host"
    ]
