"""The last stage: the segments joined into one file, in storage, checked."""

from __future__ import annotations

from typing import Any

from content.models import Episode
from generation.models import GenerationJob, StageName
from generation.stages.contract import Made, Stage


class Upload(Stage):
    name = StageName.UPLOAD
    status = Episode.GenerationStatus.UPLOADING
    weight = 10
    unit = "files"

    def make(self, generation: GenerationJob, cursor: Any) -> Made:
        raise NotImplementedError
