"""Generations in each state, with what they would have by then, written without any worker."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from content.models import Episode
from content.synthetic import make_episode
from generation.audio import mp3
from generation.kind import GENERATION, audio_url
from generation.metrics import record
from generation.models import GenerationJob, GenerationSegment, GenerationStage, StageName
from generation.providers.contract import Usage
from generation.providers.offline_text import OfflineText
from generation.script.segments import split
from generation.script.source import read_source
from generation.stages import STATUS_OF
from tests.generation.audio.sounds import tone

STAGES = [str(name) for name in StageName]
SEGMENT_CHARS = 200


def make_generation(
    *,
    at: str = "upload",
    status: str = "completed",
    episode: Episode | None = None,
    requested_by: Any = None,
    title: str = "Springtime",
    dialogue: bool = False,
    parts: int = 2,
    blocks: int = 3,
    said: int | None = None,
    cached_every: int = 3,
    error: str = "The speech provider refused the segment. Change the script and retry.",
    with_file: bool = True,
    **fields: Any,
) -> GenerationJob:
    """A generation that is at the stage `at` and has come to `status`.

    The stages before `at` are done; in the audio stage, `said` segments are (None: half of
    them), each `cached_every`-th from the cache. Without an `episode` one is made: `parts` parts
    of one item with `blocks` blocks. A completed one has its MP3 in storage, each segment a
    tone of a quarter of a second or so, unless `with_file` is False. `fields` go to the row.
    """
    if episode is None:
        episode = make_episode(parts=parts, items=1, blocks=blocks, title=title, owner=requested_by)
        if dialogue:
            episode.type = Episode.Type.DIALOGUE
            episode.save()
    done = STAGES if status == "completed" else STAGES[: STAGES.index(at)]
    now = timezone.now()
    begun = status != "pending"
    generation = GenerationJob.objects.create(
        episode=episode,
        requested_by=requested_by,
        status=status,
        **{
            "voices": {"host": "en-us", "guest": "en-us+f2"},
            "text_provider": "offline",
            "text_model": "extraction-1",
            "speech_provider": "offline",
            "speech_model": "espeak-ng",
            "estimate": _estimate(),
            "estimated_cost": Decimal("0.0123"),
            "started_at": now - dt.timedelta(seconds=90) if begun else None,
            "ended_at": now if status in ("completed", "failed", "cancelled") else None,
            "error_code": "provider_refused" if status == "failed" else "",
            "error_message": error if status == "failed" else "",
            "audio_checksum": "0" * 64 if status == "completed" else "",
            **fields,
        },
    )
    _write(generation, done)
    if status == "completed" or at in ("audio", "upload"):
        _say(generation, done, said, cached_every)
    if status == "completed" and with_file:
        _keep_audio(generation)
    _show_progress(generation, at, done)
    _add_jobs(generation, at, done)
    generation.cost = fields.get("cost", generation.cost)
    generation.save()
    _show_in_episode(generation, at)
    if status in ("completed", "failed", "cancelled"):
        record(generation)
    generation.refresh_from_db()
    return generation


def _estimate() -> dict[str, Any]:
    return {
        "tokens_in": 1200,
        "tokens_out": 400,
        "chars": 2600,
        "cached_chars": 800,
        "cost": "0.0123",
        "seconds": 12.0,
    }


def _write(generation: GenerationJob, done: list[str]) -> None:
    text = OfflineText()
    source = read_source(generation.episode)
    outline, _ = text.outline(source)
    if "outline" in done:
        generation.outline = outline.as_json()
        generation.usage["outline"] = Usage(900, 120, 0, Decimal("0.002")).as_json()
    if "script" in done:
        generation.script = text.script(source, outline)[0].as_json()
        generation.usage["script"] = Usage(300, 280, 0, Decimal("0.004")).as_json()
    generation.cost = sum(
        (Usage.from_json(each).cost for each in generation.usage.values()), Decimal(0)
    )


def _say(generation: GenerationJob, done: list[str], said: int | None, cached_every: int) -> None:
    source = read_source(generation.episode)
    text = OfflineText()
    script, _ = text.script(source, text.outline(source)[0])
    pieces = split(script, SEGMENT_CHARS)
    if "audio" in done:
        said = len(pieces)
    elif said is None:
        said = len(pieces) // 2
    segments = []
    for piece in pieces:
        is_cached = cached_every and piece.number % cached_every == 0
        state = "pending" if piece.number > said else "cached" if is_cached else "made"
        segments.append(
            GenerationSegment(
                generation=generation,
                voice=generation.voices[piece.speaker],
                cache_key=hashlib.sha256(f"{piece.speaker}{piece.text}".encode()).hexdigest(),
                state=state,
                duration_ms=None if state == "pending" else 260,
                cost=Decimal("0.00001") * len(piece.text) if state == "made" else Decimal(0),
                **piece.as_json(),
            )
        )
    GenerationSegment.objects.bulk_create(segments)
    made = [each for each in segments if each.state == "made"]
    paid = Usage(0, 0, sum(len(each.text) for each in made), sum(each.cost for each in made))
    generation.usage["audio"] = paid.as_json()
    generation.chars_paid = paid.chars
    generation.chars_cached = sum(len(each.text) for each in segments if each.state == "cached")
    generation.cost += paid.cost


def _keep_audio(generation: GenerationJob) -> None:
    segments = list(generation.segments.all())
    tones = [mp3.Part(tone(seconds=0.25, hertz=220 + 110 * n)) for n in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "joined.mp3"
        joined = mp3.join((tones[each.number % 4] for each in segments), path)
        content = path.read_bytes()
    ends = [*joined.offsets_ms[1:], joined.duration_ms]
    for segment, start, end in zip(segments, joined.offsets_ms, ends, strict=True):
        segment.start_ms, segment.duration_ms = start, end - start
    GenerationSegment.objects.bulk_update(segments, ["start_ms", "duration_ms"])
    generation.audio_checksum = hashlib.sha256(content).hexdigest()
    name = f"audio/{generation.audio_checksum}.mp3"
    if not default_storage.exists(name):
        name = default_storage.save(name, ContentFile(content))
    generation.audio_name = name
    generation.audio_bytes = len(content)
    generation.audio_duration_ms = joined.duration_ms


def _show_progress(generation: GenerationJob, at: str, done: list[str]) -> None:
    began = generation.started_at
    if began is None:
        return
    all_segments = generation.segments.count()
    units = {"audio": all_segments}
    for index, stage in enumerate([*done, *([] if at in done else [at])]):
        total = units.get(stage, 1)
        is_done = stage in done
        reached = generation.segments.exclude(state="pending").count() if stage == "audio" else 0
        generation.progress[stage] = {
            "done": total if is_done else reached,
            "total": total,
            "started_at": (began + dt.timedelta(seconds=20 * index)).isoformat(),
            "ended_at": (began + dt.timedelta(seconds=20 * index + 20)).isoformat()
            if is_done
            else None,
            "waited_before": 0,
        }


def _add_jobs(generation: GenerationJob, at: str, done: list[str]) -> None:
    last = {
        "pending": "pending",
        "in_progress": "pending",
        "paused": "paused",
        "failed": "failed",
        "cancelled": "paused",
    }
    for stage in [*done, *([] if at in done else [at])]:
        is_done = stage in done
        failed = not is_done and generation.status == "failed"
        GenerationStage.objects.create(
            generation=generation,
            name=GENERATION.jobs_by_stage[stage].__name__,
            stage=stage,
            status="completed" if is_done else last[generation.status],
            error_code=generation.error_code if failed else "",
            error_message=generation.error_message if failed else "",
            ended_at=timezone.now() if is_done or failed else None,
        )


def _show_in_episode(generation: GenerationJob, at: str) -> None:
    statuses = Episode.GenerationStatus
    shown: Any = {
        "pending": statuses.PENDING,
        "failed": statuses.FAILED,
        "cancelled": statuses.PENDING,
        "completed": statuses.COMPLETED,
    }.get(generation.status, STATUS_OF[StageName(at)])
    changes: dict[str, Any] = {
        "generation_status": shown,
        "generation_job_id": None if generation.status == "cancelled" else str(generation.pk),
        "generation_error": generation.error_message or None,
        "generation_started_at": generation.started_at,
    }
    if generation.status == "completed":
        changes |= {"generation_progress": 100, "generation_completed_at": generation.ended_at}
        if generation.audio_name:
            changes["audio_url"] = audio_url(generation)
    Episode.objects.filter(pk=generation.episode_id).update(**changes)
    generation.episode.refresh_from_db()
