"""What a generation would use, cost and take, before it is started. Makes no call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db.models import Sum

from content.models import Episode
from generation.exceptions import CannotGenerate
from generation.models import AudioCache, GenerationMetrics, StageName
from generation.options import Options, resolve
from generation.providers.contract import SpeechProvider, TextProvider, Usage
from generation.providers.registry import speech_provider, text_provider
from generation.reuse import find_written, source_hash
from generation.script.script import Script
from generation.script.segments import Segment
from generation.script.source import LeftOut, Source, SourceTooLong, read_source
from generation.sounds.keys import cache_key, segments_of

KEYS = 1_000
GENERATIONS = 20


@dataclass(frozen=True)
class Estimate:
    """`chars` is all that is said, `cached_chars` of it what is known to be in the cache. `cost`
    in US dollars; `seconds` None while nothing here was generated that could be compared."""

    tokens_in: int
    tokens_out: int
    chars: int
    cached_chars: int
    cost: Decimal
    seconds: float | None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def cached_share(self) -> float:
        """0 to 1."""
        return self.cached_chars / self.chars if self.chars else 0.0

    def as_json(self) -> dict[str, Any]:
        """Without the blocks that are left out: the script names them."""
        found = asdict(self)
        del found["left_out"]
        return {**found, "cost": str(self.cost)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Estimate:
        return cls(**{**data, "cost": Decimal(data["cost"])})


def estimate(
    episode: Episode,
    *,
    from_stage: str = "",
    voices: Mapping[str, str] | None = None,
    speed: float | None = None,
) -> Estimate:
    """Reads all words of the episode. Raises CannotGenerate where it can't be generated, with
    what to do."""
    speech = speech_provider()
    options = resolve(episode, speech, from_stage=from_stage, voices=voices, speed=speed)
    return estimate_of(episode, options, text_provider(), speech)


def estimate_of(
    episode: Episode, options: Options, text: TextProvider, speech: SpeechProvider
) -> Estimate:
    script, usage, left_out = _written(episode, options, text)
    if script is None:
        chars, cached = usage.chars, 0
    else:
        chars, cached = _said(script, options, speech)
    if options.from_stage == StageName.UPLOAD:
        cached = chars
    return Estimate(
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        chars=chars,
        cached_chars=cached,
        cost=usage.cost + speech.cost(chars - cached),
        seconds=_seconds(chars - cached, speech),
        left_out=left_out,
    )


def _written(
    episode: Episode, options: Options, text: TextProvider
) -> tuple[Script | None, Usage, tuple[LeftOut, ...]]:
    """The script where it is known, what writing it uses, and what isn't said."""
    if options.base and options.from_stage in (StageName.AUDIO, StageName.UPLOAD):
        script = Script.from_json(options.base.script)
        return script, Usage(), script.left_out
    source = _source(episode, text)
    if not options.from_stage:
        written = find_written(
            source,
            source_hash(source, text),
            episode_id=episode.pk,
            orig_id=episode.orig_id,
        )
        if written:
            return written.script, Usage(), source.left_out
    return text.draft(source), text.estimate(source), source.left_out


def _source(episode: Episode, text: TextProvider) -> Source:
    try:
        source = read_source(episode)
    except SourceTooLong as error:
        raise CannotGenerate(error.code, str(error)) from error
    if not source.passages:
        left_out = len(source.left_out)
        why = f"{left_out:,} blocks carry no speech" if left_out else "it has no blocks"
        raise CannotGenerate(
            "nothing_to_say",
            f"Episode {episode.pk} has nothing to say: {why}. Write a text into a block.",
        )
    if source.chars > text.max_input_chars:
        raise CannotGenerate(
            "source_too_long",
            f"Episode {episode.pk} has {source.chars:,} characters; {text.name} takes "
            f"{text.max_input_chars:,}. Split it into several episodes.",
        )
    return source


def _said(script: Script, options: Options, speech: SpeechProvider) -> tuple[int, int]:
    """Characters of all segments, and of those that needn't be made. What is said twice is
    made once."""
    chars = cached = 0
    known: set[str] = set()
    for page in _pages(segments_of(script, speech)):
        keys = [
            cache_key(speech, each.text, options.voices[each.speaker], options.speed)
            for each in page
        ]
        known.update(
            AudioCache.objects.filter(cache_key__in=keys, state=AudioCache.State.READY).values_list(
                "cache_key", flat=True
            )
        )
        for key, segment in zip(keys, page, strict=True):
            chars += len(segment.text)
            cached += len(segment.text) if key in known else 0
            known.add(key)
    return chars, cached


def _pages(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    rest = iter(segments)
    while page := list(islice(rest, KEYS)):
        yield page


def _seconds(chars: int, speech: SpeechProvider) -> float | None:
    """As long as the last generations took for as many characters."""
    last = GenerationMetrics.objects.filter(
        speech_provider=speech.name, outcome="completed", tts_chars_used__gt=0
    ).order_by("-created_at")[:GENERATIONS]
    took = last.aggregate(seconds=Sum("actual_duration"), chars=Sum("tts_chars_used"))
    return round(chars * took["seconds"] / took["chars"], 1) if took["chars"] else None
