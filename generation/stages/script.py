"""The second stage: what is said, by whom, a portion at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from content.models import Episode
from generation.models import GenerationJob, ScriptPortion, StageName
from generation.providers.contract import TextProvider, Usage
from generation.providers.registry import text_provider
from generation.reuse import fits, source_hash
from generation.script.outline import Outline
from generation.script.script import Script, check_fits, join
from generation.script.source import Source, read_source
from generation.stages.contract import Made, Stage

EDITED = "The content was edited meanwhile: the script is written anew."


class WriteScript(Stage):
    """A portion is kept in the commit that counts it, so none is paid for again. The cursor
    is how many are kept."""

    name = StageName.SCRIPT
    status = Episode.GenerationStatus.GENERATING_SCRIPT
    weight = 20
    unit = "portions"

    def __init__(self) -> None:
        self._source: Source | None = None

    @cached_property
    def _text(self) -> TextProvider:
        return text_provider()

    def make(self, generation: GenerationJob, cursor: Any) -> Made:
        if generation.script is not None:
            return Made(finished=True, done=1, total=1)
        kept = cursor or 0
        source = self._read(generation)
        digest = source_hash(source, self._text)
        outline = Outline.from_json(generation.outline)
        if digest != generation.source_hash or not fits(outline, source):
            return self._begin_anew(generation, source, digest, outline, kept)
        portions = self._text.portions(source)
        script, usage = self._text.script(portions[kept], outline)
        if kept + 1 < len(portions):
            return self._kept(generation, script, usage, kept, portions)
        return self._whole(generation, source, outline, script, usage, kept, portions)

    def _read(self, generation: GenerationJob) -> Source:
        # Read once in a worker's run: an edit is noticed by the next run, or by the next portion
        # of another worker; the script is of one state of the content either way.
        if self._source is None:
            self._source = read_source(generation.episode)
        return self._source

    def _begin_anew(
        self,
        generation: GenerationJob,
        source: Source,
        digest: str,
        outline: Outline,
        kept: int,
    ) -> Made:
        usage = Usage()
        if not fits(outline, source):
            outline, usage = self._text.outline(source)
        return Made(
            finished=False,
            done=-kept,
            total=len(self._text.portions(source)),
            fields={"source_hash": digest, "outline": outline.as_json()},
            usage=usage,
            notes=(EDITED,) if generation.source_hash else (),
            write=lambda: _forget_portions(generation),
        )

    def _kept(
        self,
        generation: GenerationJob,
        script: Script,
        usage: Usage,
        kept: int,
        portions: Sequence[Source],
    ) -> Made:
        turns = script.as_json()["turns"]

        def write() -> None:
            ScriptPortion.objects.create(generation=generation, number=kept, turns=turns)

        return Made(
            finished=False,
            cursor=kept + 1,
            done=1,
            total=len(portions),
            usage=usage,
            write=write,
        )

    def _whole(
        self,
        generation: GenerationJob,
        source: Source,
        outline: Outline,
        last: Script,
        usage: Usage,
        kept: int,
        portions: Sequence[Source],
    ) -> Made:
        earlier = [
            Script.from_json({"turns": turns})
            for turns in generation.portions.filter(number__lt=kept).values_list("turns", flat=True)
        ]
        script = join([*earlier, last], source.left_out)
        check_fits(script, outline, source.type)
        return Made(
            finished=True,
            done=1,
            total=len(portions),
            fields={"script": script.as_json()},
            usage=usage,
            write=lambda: _forget_portions(generation),
        )


def _forget_portions(generation: GenerationJob) -> None:
    generation.portions.all().delete()
