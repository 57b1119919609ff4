"""Episodes with words, and what the tests do with their generations."""

from __future__ import annotations

from typing import Any

from content.models import Episode
from generation.models import GenerationJob
from generation.services import start_generation
from tests.duplication.driving import run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory


def make_episode(*texts: str, **fields: Any) -> Episode:
    """A part for each text."""
    episode = EpisodeFactory(**fields)
    for number, text in enumerate(texts or ("One.", "Two.", "Three.")):
        part = PartFactory(episode=episode, position=number, name=f"Part {number}")
        BlockFactory(item=ItemFactory(part=part, name=""), field_2=text)
    return episode


def start(episode: Episode, **options: Any) -> GenerationJob:
    options.setdefault("requested_by", None)
    return start_generation(episode_id=episode.pk, **options).generation


def write(episode: Episode, **options: Any) -> GenerationJob:
    """Run outline and script, up to where the script can be edited."""
    generation = start(episode, stop_before_audio=True, **options)
    run_to_end(generation)
    return generation


def generate(episode: Episode, **options: Any) -> GenerationJob:
    """Start and run a generation."""
    generation = start(episode, **options)
    run_to_end(generation)
    return generation
