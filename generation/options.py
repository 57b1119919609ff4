"""What a generation is asked for, made whole: from which stage, on what base, in which voice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from django.db.models import Q

from content.models import Episode
from generation.exceptions import CannotGenerate
from generation.models import GenerationJob, GenerationSegment, StageName
from generation.providers.contract import ProviderFailed, SpeechProvider
from generation.script.script import SPEAKERS

SLOWEST, FASTEST = 0.25, 4.0
MAX_VOICE_CHARS = 64


class Options(NamedTuple):
    """`base` is the generation whose results before `from_stage` are taken over; None where
    nothing is."""

    from_stage: str
    base: GenerationJob | None
    voices: dict[str, str]
    speed: float


def resolve(
    episode: Episode,
    speech: SpeechProvider,
    *,
    from_stage: str = "",
    voices: Mapping[str, str] | None = None,
    speed: float | None = None,
) -> Options:
    """What isn't said is as it was for this episode last, or for what it was copied from, if
    the same provider spoke then; otherwise the provider's own. Raises CannotGenerate for what
    isn't possible, with what is."""
    if from_stage and from_stage not in StageName:
        raise CannotGenerate(
            "from_stage", f"There is no stage “{from_stage}”: use {', '.join(StageName.values)}."
        )
    base = _base(episode, from_stage)
    last = base or _last(episode)
    if last and (last.speech_provider, last.speech_model) != (speech.name, speech.model):
        last = None
    if from_stage == StageName.UPLOAD and (voices or speed):
        raise CannotGenerate(
            "voices", "An upload speaks nothing: for another voice or speed begin with the audio."
        )
    chosen = {
        **speech.voices,
        **(last.voices if last else {}),
        **_checked_voices(voices or {}),
    }
    if speed is None:
        speed = last.speed if last else 1.0
    if not math.isfinite(speed) or not SLOWEST <= speed <= FASTEST:
        raise CannotGenerate(
            "speed", f"speed is {speed:g}: use a number from {SLOWEST:g} to {FASTEST:g}."
        )
    for voice in chosen.values():
        try:
            speech.sound_parameters(voice, speed)
        except ProviderFailed as refused:
            raise CannotGenerate(refused.code, str(refused)) from refused
    return Options(from_stage, base if from_stage else None, chosen, speed)


def _checked_voices(voices: Mapping[str, str]) -> dict[str, str]:
    for speaker, voice in voices.items():
        if speaker not in SPEAKERS:
            raise CannotGenerate(
                "voices", f"There is no speaker “{speaker}”: use {' or '.join(SPEAKERS)}."
            )
        if not isinstance(voice, str) or not voice.strip() or len(voice) > MAX_VOICE_CHARS:
            raise CannotGenerate(
                "voices",
                f"The {speaker}'s voice must be a name of 1 to {MAX_VOICE_CHARS} characters.",
            )
    return {speaker: voice.strip() for speaker, voice in voices.items()}


_NEEDED = {
    StageName.SCRIPT: (Q(outline__isnull=False), "outline"),
    StageName.AUDIO: (Q(outline__isnull=False, script__isnull=False), "script"),
    StageName.UPLOAD: (Q(outline__isnull=False, script__isnull=False), "whole set of sounds"),
}


def _base(episode: Episode, from_stage: str) -> GenerationJob | None:
    """The episode's newest generation that has what `from_stage` begins with."""
    if from_stage in ("", StageName.OUTLINE):
        return None
    condition, what = _NEEDED[StageName(from_stage)]
    found = GenerationJob.objects.filter(condition, episode=episode).order_by("-pk")
    base = found.first()
    if from_stage == StageName.UPLOAD:
        base = next((each for each in found[:10] if _has_all_sounds(each)), None)
    if base is None:
        raise CannotGenerate(
            "nothing_to_reuse",
            f"Episode {episode.pk} has no {what} yet, so it can't begin with the "
            f"{from_stage}: begin earlier, or leave from_stage out.",
        )
    return base


def _has_all_sounds(generation: GenerationJob) -> bool:
    segments = GenerationSegment.objects.filter(generation=generation)
    return segments.exists() and not segments.filter(state="pending").exists()


def _last(episode: Episode) -> GenerationJob | None:
    """How the episode was spoken last, or else what it was copied from."""
    for each in (episode.pk, episode.orig_id):
        if each is not None:
            generations = GenerationJob.objects.filter(episode_id=each).order_by("-pk")
            if found := generations.first():
                return found
    return None
