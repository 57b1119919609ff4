"""The first stage: what the audio is about, chapter by chapter."""

from __future__ import annotations

from typing import Any

from content.models import Episode
from generation.models import GenerationJob, StageName
from generation.providers.registry import text_provider
from generation.reuse import find_written, source_hash
from generation.script.source import read_source
from generation.stages.contract import Made, Stage

USED_AGAIN = "The words are the same as before: outline and script are used again."


class WriteOutline(Stage):
    name = StageName.OUTLINE
    status = Episode.GenerationStatus.GENERATING_OUTLINE
    weight = 5
    unit = "outlines"

    def make(self, generation: GenerationJob, cursor: Any) -> Made:
        text = text_provider()
        source = read_source(generation.episode)
        digest = source_hash(source, text)
        if not generation.from_stage:
            written = find_written(
                source,
                digest,
                episode_id=generation.episode_id,
                orig_id=generation.episode.orig_id,
            )
            if written:
                return Made(
                    finished=True,
                    done=1,
                    total=1,
                    fields={
                        "base_id": written.generation_id,
                        "source_hash": digest,
                        "outline": written.outline.as_json(),
                        "script": written.script.as_json(),
                        "script_edited_at": written.edited_at,
                    },
                    notes=(USED_AGAIN,),
                )
        outline, usage = text.outline(source)
        return Made(
            finished=True,
            done=1,
            total=1,
            fields={"source_hash": digest, "outline": outline.as_json()},
            usage=usage,
        )
