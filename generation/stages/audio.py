"""The third stage: each segment's sound, from the cache or made."""

from __future__ import annotations

from typing import Any

from content.models import Episode
from generation.models import GenerationJob, StageName
from generation.stages.contract import Made, Stage


class MakeAudio(Stage):
    name = StageName.AUDIO
    status = Episode.GenerationStatus.GENERATING_AUDIO
    weight = 65
    unit = "segments"

    def make(self, generation: GenerationJob, cursor: Any) -> Made:
        raise NotImplementedError
