"""What is shown of its audio beside an episode in a list: a player, or the way to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from content.additions import Addition
from content.models import Episode
from generation.models import GenerationJob
from generation.permissions import ADD
from generation.stages import STAGES
from operations.stages import Stage


class EpisodeAudio(NamedTuple):
    """`active` is the generation that runs, if the user may see it."""

    episode: Episode
    active: GenerationJob | None
    may_generate: bool
    stages: tuple[Stage, ...]


def audio_of(episodes: Sequence[Episode], user: Any) -> Mapping[int, EpisodeAudio]:
    """One query. For one's own episodes: whether they may be changed isn't asked of each."""
    active = GenerationJob.viewable_by(user).filter(
        episode__in=[episode.pk for episode in episodes],
        status__in=[GenerationJob.Status[name] for name in GenerationJob.ACTIVE],
    )
    by_episode = {each.episode_id: each for each in active}
    may_generate = user.has_perm(ADD)
    return {
        episode.pk: EpisodeAudio(episode, by_episode.get(episode.pk), may_generate, STAGES)
        for episode in episodes
    }


ADDITION = Addition("generation/episode.html", audio_of)
