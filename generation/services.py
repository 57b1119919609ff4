"""The verbs of generation: every way in comes through here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from content.models import Episode
from generation import limits
from generation.estimate import Estimate, estimate_of
from generation.exceptions import CannotEdit, CannotGenerate, ScriptChanged
from generation.kind import GENERATION
from generation.models import GenerationJob, GenerationStage, StageName
from generation.options import Options, resolve
from generation.providers.contract import SpeechProvider, TextProvider
from generation.providers.registry import speech_provider, text_provider
from generation.script.outline import Outline
from generation.script.script import Script, check_fits
from operations import events, idempotency, telemetry
from operations.exceptions import IdempotencyKeyReused

ACTIVE = [GenerationJob.Status[name] for name in GenerationJob.ACTIVE]
MAX_AT_ONCE = 200


class Started(NamedTuple):
    """`created` is False when an earlier request's generation is answered instead."""

    generation: GenerationJob
    created: bool


class Outcome(NamedTuple):
    """What became of one of many; `refusal` says why nothing was started."""

    episode: Episode
    started: Started | None
    refusal: str


def start_generation(
    *,
    episode_id: int,
    requested_by: Any,
    from_stage: str = "",
    voices: Mapping[str, str] | None = None,
    speed: float | None = None,
    stop_before_audio: bool = False,
    idempotency_key: str | None = None,
) -> Started:
    """Start making an episode's audio and answer at once; workers do the rest.

    While a generation of the episode is active that one is answered. What a user's
    `idempotency_key` was answered with it is answered with again, whatever has become of it.
    With `from_stage` that stage and those behind it are made anew; without it, what fits the
    content as it is now is used again. Commits the generation, the episode's fields, the first
    stage and (with the ORM broker) its delivery together. Raises CannotGenerate, LimitReached
    among it, and IdempotencyKeyReused; permission is the caller's to check.
    """
    request = idempotency.Request(
        GenerationJob.kind,
        requested_by,
        idempotency_key or "",
        [episode_id, from_stage, dict(voices or {}), speed, stop_before_audio],
    )
    with telemetry.span("generation", episode_id=episode_id):
        with transaction.atomic():
            episode = _locked(episode_id)
            if started := _earlier(request, episode):
                return started
        # Reads all words, so without a lock; what is looked at again below is cheap.
        text, speech = text_provider(), speech_provider()
        options = resolve(episode, speech, from_stage=from_stage, voices=voices, speed=speed)
        expected = estimate_of(episode, options, text, speech)
        with transaction.atomic():
            limits.hold_day()
            episode = _locked(episode_id)
            if started := _earlier(request, episode):
                return started
            limits.check(expected.cost)
            generation = _create(
                episode, requested_by, options, expected, text, speech, stop_before_audio
            )
            if idempotency_key:
                idempotency.remember(request, generation)
        return Started(generation, created=True)


def start_many(
    episodes: Iterable[Episode], *, requested_by: Any, idempotency_key: str = "", **options: Any
) -> list[Outcome]:
    """Start each, at most MAX_AT_ONCE; one that is refused doesn't keep the others. How many run
    at once is the kernel's gate: the rest wait for a place. `options` are `start_generation`'s;
    the caller has checked the permission for each episode."""
    outcomes = []
    for episode in list(episodes)[:MAX_AT_ONCE]:
        key = f"{idempotency_key}:{episode.pk}" if idempotency_key else None
        started, refusal = None, ""
        try:
            started = start_generation(
                episode_id=episode.pk, requested_by=requested_by, idempotency_key=key, **options
            )
        except (CannotGenerate, IdempotencyKeyReused) as error:
            refusal = str(error)
        outcomes.append(Outcome(episode, started, refusal))
    return outcomes


def edit_script(generation: GenerationJob, data: Any, *, version: int, by: Any) -> GenerationJob:
    """Put an edited script in the place of the one of `version`; commits it with its event.

    Possible while nothing of it is being said: paused or failed before the audio (resume or
    retry goes on with it), or at an end (*regenerate from the audio* says it). `data` is as
    `Script.from_json` takes it; the list of what was left out stays. Raises InvalidScript with
    the place, ScriptChanged, CannotEdit.
    """
    edited = Script.from_json(data)
    with transaction.atomic():
        jobs = list(
            GenerationStage.objects.select_for_update(of=("self",)).filter(generation=generation)
        )
        generation = GenerationJob.objects.select_for_update(no_key=True, of=("self",)).get(
            pk=generation.pk
        )
        said = any(job.stage == StageName.AUDIO and job.has_status("COMPLETED") for job in jobs)
        _require_editable(generation, is_said=said)
        if generation.script_version != version:
            raise ScriptChanged(generation.script_version)
        outline = Outline.from_json(generation.outline)
        check_fits(edited, outline, generation.episode.type)
        before = Script.from_json(generation.script)
        generation.script = replace(edited, left_out=before.left_out).as_json()
        generation.script_version = version + 1
        generation.script_edited_at = timezone.now()
        for job in jobs:
            if job.stage == StageName.AUDIO and not job.has_status("COMPLETED"):
                _begin_audio_anew(generation, job)
        generation.save(
            update_fields=[
                "script",
                "script_version",
                "script_edited_at",
                "progress",
                "updated_at",
            ]
        )
        name = by.get_username() if by else ""
        events.append(generation, "script_edited", stage=StageName.SCRIPT, payload={"by": name})
    return generation


def _begin_audio_anew(generation: GenerationJob, job: GenerationStage) -> None:
    """Its segments are those of the script before; the sounds that stay are in the cache."""
    GenerationStage.objects.filter(pk=job.pk).update(cursor=None)
    generation.progress.pop(StageName.AUDIO, None)


def _require_editable(generation: GenerationJob, *, is_said: bool) -> None:
    if generation.script is None:
        raise CannotEdit(f"{generation} has no script yet: wait until it is written.")
    if not generation.is_quiet:
        raise CannotEdit(
            f"{generation} is {generation.display_status}: pause it, then edit its script."
        )
    if is_said and generation.has_status("PAUSED", "FAILED"):
        raise CannotEdit(
            f"All of {generation} is said already and only its upload is left: let it end, or "
            "cancel it, then edit the script and generate from the audio."
        )


def _locked(episode_id: int) -> Episode:
    """A second click waits here, and then finds the first one's generation."""
    visible = Episode.objects.visible().select_for_update(no_key=True)
    episode = visible.filter(pk=episode_id).first()
    if episode is None:
        raise CannotGenerate("not_found", f"There is no episode {episode_id} to generate.")
    return episode


def _earlier(request: idempotency.Request, episode: Episode) -> Started | None:
    """What a start is answered with instead of a new generation. The episode is locked."""
    if request.key and (earlier := idempotency.answered(request)):
        return Started(GenerationJob.objects.get(pk=earlier), created=False)
    active = GenerationJob.objects.filter(episode=episode, status__in=ACTIVE).first()
    if active is None:
        return None
    if request.key:
        idempotency.remember(request, active)
    return Started(active, created=False)


def _create(
    episode: Episode,
    requested_by: Any,
    options: Options,
    expected: Estimate,
    text: TextProvider,
    speech: SpeechProvider,
    stop_before_audio: bool,
) -> GenerationJob:
    base = options.base
    takes_script = options.from_stage in (StageName.AUDIO, StageName.UPLOAD)
    generation = GenerationJob.objects.create(
        episode=episode,
        requested_by=requested_by,
        base=base,
        from_stage=options.from_stage,
        stop_before_audio=stop_before_audio,
        voices=options.voices,
        speed=options.speed,
        text_provider=text.name,
        text_model=text.model,
        speech_provider=speech.name,
        speech_model=speech.model,
        source_hash=base.source_hash if base and takes_script else "",
        outline=base.outline if base else None,
        script=base.script if base and takes_script else None,
        script_edited_at=base.script_edited_at if base and takes_script else None,
        estimate=expected.as_json(),
        estimated_cost=expected.cost,
        traceparent=telemetry.current_traceparent(),
    )
    if base and options.from_stage == StageName.UPLOAD:
        _take_segments(generation, base)
    with telemetry.span("dispatch"):
        GENERATION.start(generation)
    return generation


def _take_segments(generation: GenerationJob, base: GenerationJob) -> None:
    """What the base said is said again, paid for by the base."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO generation_segments
                (generation_id, number, chapter, speaker, voice, text, cache_key, state,
                 duration_ms, cost)
            SELECT %s, number, chapter, speaker, voice, text, cache_key, 'cached', duration_ms, 0
            FROM generation_segments WHERE generation_id = %s
            """,
            [generation.pk, base.pk],
        )
