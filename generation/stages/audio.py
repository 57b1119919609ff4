"""The third stage: each segment's sound, from the cache or made."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from content.models import Episode
from generation.models import GenerationJob, GenerationSegment, StageName
from generation.providers.contract import SpeechProvider
from generation.providers.registry import speech_provider
from generation.script.script import Script
from generation.script.segments import Segment
from generation.sounds.keys import cache_key, segments_of
from generation.sounds.making import Sounds
from generation.stages.contract import Made, Stage

PAGE = 500
HAS_SEGMENTS = "segments"


class MakeAudio(Stage):
    """First the segments of the script as it is now, then their sounds. The cursor says whether
    the segments are there; an edit of the script takes it away."""

    name = StageName.AUDIO
    status = Episode.GenerationStatus.GENERATING_AUDIO
    weight = 65
    unit = "segments"

    def __init__(self) -> None:
        self._sounds: Sounds | None = None

    def make(self, generation: GenerationJob, cursor: Any) -> Made:
        if cursor != HAS_SEGMENTS:
            return _cut(generation, speech_provider())
        if self._sounds is None:
            self._sounds = Sounds(generation, speech_provider())
        spoken = self._sounds.look()
        return Made(
            finished=spoken.is_all,
            cursor=HAS_SEGMENTS,
            done=spoken.done,
            usage=spoken.usage,
            chars_cached=spoken.chars_cached,
            write=spoken.write,
        )

    def close(self) -> None:
        if self._sounds:
            self._sounds.close()


def _cut(generation: GenerationJob, speech: SpeechProvider) -> Made:
    segments = segments_of(Script.from_json(generation.script), speech)

    def write() -> None:
        generation.segments.all().delete()
        rows = _rows(generation, segments, speech)
        while page := list(islice(rows, PAGE)):
            GenerationSegment.objects.bulk_create(page)

    return Made(finished=False, cursor=HAS_SEGMENTS, total=len(segments), write=write)


def _rows(
    generation: GenerationJob, segments: list[Segment], speech: SpeechProvider
) -> Iterator[GenerationSegment]:
    voices = {**speech.voices, **generation.voices}
    for segment in segments:
        voice = voices[segment.speaker]
        yield GenerationSegment(
            generation=generation,
            number=segment.number,
            chapter=segment.chapter,
            speaker=segment.speaker,
            voice=voice,
            text=segment.text,
            cache_key=cache_key(speech, segment.text, voice, generation.speed),
        )
