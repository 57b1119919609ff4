"""What is done with a job's runs: started, answered; and what a tick of its schedule does. Pausing,
resuming, retrying and cancelling are the kernel's. Permission is the caller's to check."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from migrationsync import runs, schedules
from migrationsync.entities import EntityCycle, UnknownEntity, entities
from migrationsync.exceptions import AlreadyRunning, CannotRun, NotYet
from migrationsync.kind import SYNC
from migrationsync.models import (
    MigrationValidationReport,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.services.jobs import locked
from operations import control, idempotency, telemetry
from operations.exceptions import InvalidTransition, Refused
from operations.models import IdempotencyKey

Purpose = SynchronizationRun.Purpose


class Started(NamedTuple):
    """`created` is False when the run was open already, or is an earlier request's."""

    run: SynchronizationRun
    created: bool


def default_purpose(job: SynchronizationJob) -> SynchronizationRun.Purpose:
    """What “Run now” does."""
    if job.job_type == SynchronizationJob.Type.DIFFERENTIAL_MIGRATION:
        return Purpose.LOAD
    return Purpose.SYNC


def start_run(
    job: SynchronizationJob,
    *,
    by: Any,
    purpose: str | None = None,
    entities: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    is_scheduled: bool = False,
    idempotency_key: str = "",
) -> Started:
    """Start a run and answer at once; workers do the rest.

    `purpose` None is the job's default, `entities` None all of the job's. While a run for the
    same is open that one is answered. What a user's `idempotency_key` was answered with
    it is answered with again, whatever has become of it. `options`: {"since": ISO moment} for
    compare and sync (only what the source's column of times says), {"source_only": true} for
    compare, {"types": […]} for validate.

    Commits the run, its first checkpoint and (with the ORM broker) its delivery together; a job
    that was cancelled gets its schedule back. Reads nothing of the source: it may be away.
    Raises AlreadyRunning while another is open, CannotRun and IdempotencyKeyReused.
    """
    purpose = Purpose(purpose or default_purpose(job))
    chosen = _ordered(job, entities)
    checked = _options(purpose, chosen, options or {})
    request = idempotency.Request(
        SynchronizationJob.kind,
        by,
        idempotency_key,
        [str(job.pk), str(purpose), chosen if entities is not None else None, checked],
    )
    with telemetry.span("synchronization", sync_job=job.job_name), transaction.atomic():
        if idempotency_key and idempotency.answered(request):
            return Started(_run_of_key(request, job), created=False)
        job = locked(job.pk)
        started = _open_run(job, purpose, chosen, checked)
        if started is None:
            started = _start(job, by, purpose, chosen, checked, is_scheduled)
        if idempotency_key:
            idempotency.remember(request, job)
        return started


def approve_deletes(job: SynchronizationJob, *, by: Any) -> SynchronizationJob:
    """Answers the run that stopped to ask whether it may delete so many, and goes on. Raises
    CannotRun when nothing was asked. Safe to be done again."""
    job = SynchronizationJob.objects.get(pk=job.pk)
    run = job.latest_run
    if run is None or not run.is_open or not run.question:
        raise CannotRun(f"{job} doesn't ask anything.")
    # Apart from going on, which locks the run's jobs before anything else.
    SynchronizationRun.objects.filter(pk=run.pk, approved_deletes=None).update(
        approved_deletes=run.question["deletes"]
    )
    if not job.has_status("PAUSED") and job.display_status != "pausing":
        return job
    control.resume(SYNC, job, by=by)
    job.refresh_from_db()
    return job


def run_scheduled(job_id: UUID, *, moment: dt.datetime | None = None) -> str:
    """What a tick of the schedule does, in words: starts a run, retries a failed one, or says
    why not. A tick for a moment that was seen to does nothing, however often it is delivered.

    A run that can't be started fails the job, so that somebody sees it; the next tick tries again.
    """
    job = SynchronizationJob.objects.filter(pk=job_id).first()
    if job is None:
        return "The job is gone."
    try:
        with transaction.atomic():
            if _is_to_be_retried(job) and not _is_seen_to(job, moment):
                # Its checkpoints are locked before the job.
                control.retry(SYNC, job)
                _see_to(locked(job_id), moment)
                return "Retried: the run before had failed."
            job = locked(job_id)
            return _tick(job, moment)
    except (InvalidTransition, Refused, CannotRun) as error:
        return f"Nothing was started: {error}"


def _tick(job: SynchronizationJob, moment: dt.datetime | None) -> str:
    if _is_seen_to(job, moment):
        return "Nothing was started: this moment was seen to already."
    if not job.recurs or job.has_status("CANCELLED"):
        return f"Nothing was started: it is {job.status}, and has no schedule any more."
    _see_to(job, moment)
    if job.has_status("PAUSED"):
        return "Nothing was started: it is paused."
    if job.latest_run is not None and job.latest_run.is_open:
        return "Nothing was started: a run is open already."
    try:
        # What was seen to stays so, whatever comes of the run.
        with transaction.atomic():
            run, _ = start_run(job, by=None, is_scheduled=True)
    except NotYet as error:
        return f"Nothing was started: {error}"
    except CannotRun as error:
        message = f"Its schedule couldn't start a run. {error} Its next tick tries again."
        control.fail_to_begin(job, code=error.code, message=message)
        return f"Nothing was started: {error}"
    return f"Started run {run.number}."


def _is_to_be_retried(job: SynchronizationJob) -> bool:
    """One that couldn't even start a run has none to retry."""
    run = job.latest_run
    return job.has_status("FAILED") and run is not None and run.outcome == runs.Outcome.FAILED


def _is_seen_to(job: SynchronizationJob, moment: dt.datetime | None) -> bool:
    """`next_run_at` is the first moment that nobody has seen to; null while its tick is under
    way."""
    return bool(moment and job.next_run_at and moment < job.next_run_at)


def _see_to(job: SynchronizationJob, moment: dt.datetime | None) -> None:
    job.next_run_at = schedules.following(job, moment or timezone.now())
    job.save(update_fields=["next_run_at"])


# --- starting -------------------------------------------------------------------------


def _ordered(job: SynchronizationJob, names: Sequence[str] | None) -> list[str]:
    """Those of the job that were asked for, each behind what it points to."""
    wanted = job.entities_to_sync if names is None else names
    if foreign := [name for name in wanted if name not in job.entities_to_sync]:
        raise CannotRun(
            f"{job} doesn't bring over {', '.join(map(str, foreign))}: it has "
            f"{', '.join(job.entities_to_sync)}.",
            option="entities",
        )
    if not wanted:
        raise CannotRun(f"{job} can't run without an entity: name at least one.")
    try:
        return [entity.name for entity in entities.in_order(wanted)]
    except UnknownEntity as error:
        raise CannotRun(
            f"{job} can't run: {error} Declare it again, or change the job's entities."
        ) from error
    except EntityCycle as error:
        raise CannotRun(f"{job} can't run: its entities need each other, {error}.") from error


def _options(purpose: str, names: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """As they are kept. Raises CannotRun for what the purpose doesn't know."""
    known = _OPTIONS.get(purpose, {})
    if unknown := sorted(set(options) - set(known)):
        there_are = f"there are: {', '.join(known)}" if known else "there are none"
        raise CannotRun(
            f"{purpose} has no option {', '.join(unknown)}; {there_are}.", option=unknown[0]
        )
    if "since" in options and options.get("source_only"):
        raise CannotRun(
            "since and source_only exclude each other: choose one.", option="source_only"
        )
    return {name: known[name](value, names) for name, value in options.items()}


def _since(value: Any, names: Sequence[str]) -> str:
    try:
        moment = dt.datetime.fromisoformat(str(value))
    except ValueError:
        raise CannotRun(
            f"since is “{value}”: write a moment as 2026-03-01T00:00:00Z.", option="since"
        ) from None
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    if blind := [name for name in names if not entities.get(name).changed_at]:
        raise CannotRun(
            f"{', '.join(blind)} names no changed_at, so only a full comparison sees what changed: "
            "leave since out, or declare the column.",
            option="since",
        )
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")


def _source_only(value: Any, names: Sequence[str]) -> bool:
    if not isinstance(value, bool):
        raise CannotRun(f"source_only is “{value}”: use true or false.", option="source_only")
    return value


def _types(value: Any, names: Sequence[str]) -> list[str]:
    allowed = MigrationValidationReport.Type.values
    if not isinstance(value, list) or not value or any(each not in allowed for each in value):
        raise CannotRun(f"types is “{value}”: a list of {', '.join(allowed)}.", option="types")
    return [each for each in allowed if each in value]


_Option = Callable[[Any, Sequence[str]], Any]
_OPTIONS: dict[str, dict[str, _Option]] = {
    Purpose.COMPARE: {"since": _since, "source_only": _source_only},
    Purpose.SYNC: {"since": _since},
    Purpose.VALIDATE: {"types": _types},
}


def _open_run(
    job: SynchronizationJob, purpose: str, names: list[str], options: dict[str, Any]
) -> Started | None:
    run = job.latest_run
    if run is not None and run.is_open:
        if (run.purpose, run.entities, run.options) != (purpose, names, options):
            raise AlreadyRunning(run)
        return Started(run, created=False)
    if job.has_status("PAUSED"):
        raise CannotRun(f"{job} is paused: resume it, then run it.")
    return None


def _start(
    job: SynchronizationJob,
    by: Any,
    purpose: str,
    names: list[str],
    options: dict[str, Any],
    is_scheduled: bool,
) -> Started:
    run = SynchronizationRun.objects.create(
        job=job,
        number=runs.next_number(job),
        purpose=purpose,
        entities=names,
        options=options,
        started_by=by,
        is_scheduled=is_scheduled,
    )
    was_cancelled = job.has_status("CANCELLED")
    try:
        control.begin_again(
            SYNC, job, by=by, latest_run=run, traceparent=telemetry.current_traceparent()
        )
    except Refused as error:
        raise NotYet(str(error)) from error
    if was_cancelled and job.recurs:
        job.next_run_at = schedules.keep(job)
        job.save(update_fields=["next_run_at"])
    with telemetry.span("dispatch"):
        SYNC.start(run)
    return Started(run, created=True)


def _run_of_key(request: idempotency.Request, job: SynchronizationJob) -> SynchronizationRun:
    """The run that was open when the key was kept: it was the job's last one then."""
    key = IdempotencyKey.objects.get(kind=request.kind, user=request.user, key=request.key)
    run = job.runs.filter(created_at__lte=key.created_at).order_by("-number").first()
    if run is None:
        raise CannotRun(f"The run of this request was removed since; {job} can be run again.")
    return run
