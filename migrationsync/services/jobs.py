"""What is done to a job between its runs: made, changed, removed. Permission is the caller's to
check."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from migrationsync import retention, schedules
from migrationsync.exceptions import AlreadyRunning, CannotRun
from migrationsync.models import SynchronizationJob
from operations import control, events

logger = logging.getLogger("migrationsync.jobs")

# What a person may say of a job; the rest follows from its runs.
FIELDS = (
    "job_name",
    "job_type",
    "source_alias",
    "schedule_config",
    "entities_to_sync",
    "sync_direction",
    "conflict_resolution",
    "max_records_per_batch",
    "max_failed_percent",
    "max_deletes",
    "max_deleted_percent",
    "metadata",
)


def create_job(*, by: Any, **fields: Any) -> SynchronizationJob:
    """A new job; one that recurs is scheduled at once. `fields` are those of FIELDS. Raises
    ValidationError, by field."""
    job = SynchronizationJob(requested_by=by, **_known(fields))
    _check(job)
    with transaction.atomic():
        _save(job)
        if job.recurs:
            job.next_run_at = schedules.keep(job)
            job.save(update_fields=["next_run_at"])
    return job


def change_job(job: SynchronizationJob, *, by: Any, **fields: Any) -> SynchronizationJob:
    """Changes a job between its runs, and its schedule with it; answers it as it is then. An event
    of the job's keeps who changed what.

    Raises ValidationError by field, and AlreadyRunning while a run is open: it works by what the
    job said when it began.
    """
    with transaction.atomic():
        job = locked(job.pk)
        _refuse_open(job)
        before = {name: getattr(job, name) for name in _known(fields)}
        for name, value in fields.items():
            setattr(job, name, value)
        _check(job)
        _save(job)
        changed = [name for name, value in before.items() if getattr(job, name) != value]
        if "schedule_config" in changed:
            _reschedule(job)
        if changed:
            names = ", ".join(_words(name) for name in changed)
            events.append(job, "changed", payload={"by": _name(by), "message": names})
    return job


def delete_job(job: SynchronizationJob, *, by: Any) -> None:
    """Removes a job with its runs and what they found; what they brought over stays. Raises
    AlreadyRunning. Commits the removal of the runs bit by bit: safe to be done again. The log
    keeps who removed it."""
    with transaction.atomic():
        job = locked(job.pk)
        _refuse_open(job)
        schedules.remove(job)
    for run in job.runs.order_by("number"):
        for _ in retention.batches_of_run(run):
            pass
    with transaction.atomic():
        job = locked(job.pk)
        _refuse_open(job)
        schedules.remove(job)
        job.delete()
    logger.info("%s removed the synchronization “%s”", _name(by) or "Somebody", job)


def _name(by: Any) -> str:
    """As the kernel's events name who did something; empty: somebody at the terminal."""
    return by.get_username() if by else ""


def _words(name: str) -> str:
    field = cast("models.Field[Any, Any]", SynchronizationJob._meta.get_field(name))
    return str(field.verbose_name)


def _known(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise TypeError(f"A job has no {', '.join(unknown)} to be said.")
    return fields


def _check(job: SynchronizationJob) -> None:
    errors: dict[str, Any] = {}
    for name in FIELDS:
        try:
            _check_stored(job._meta.get_field(name), getattr(job, name))
        except ValidationError as error:
            errors[name] = error.error_list
    try:
        # It asks the database, which can't be told what it can't store.
        job.full_clean(exclude=set(errors))
    except ValidationError as error:
        errors |= error.error_dict
    if "schedule_config" not in errors:
        try:
            schedules.check(job.schedule_config)
        except ValidationError as error:
            errors |= error.error_dict
    if errors:
        raise ValidationError(errors)


def _check_stored(field: Any, value: Any) -> None:
    """Raises ValidationError for what the database has no place for, and for JSON that isn't as
    its schema says: `full_clean` looks at nothing that is empty, such as null and []."""
    if isinstance(field, models.JSONField):
        for validator in field.validators:
            validator(value)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValidationError(f"It is no JSON: {error}.") from error
    for text in _texts(value):
        if "\x00" in text:
            raise ValidationError("It holds a NUL character, which can't be stored.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValidationError("It holds half of a surrogate pair, no character.") from error


def _texts(value: Any) -> Iterator[str]:
    """All the texts in a value as JSON has them."""
    match value:
        case str():
            yield value
        case Mapping():
            for each in (*value.keys(), *value.values()):
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)


def _save(job: SynchronizationJob) -> None:
    try:
        with transaction.atomic():
            job.save()
    except IntegrityError:
        job.full_clean()  # somebody else took the name meanwhile
        raise


def _reschedule(job: SynchronizationJob) -> None:
    if not job.recurs or job.has_status("CANCELLED"):
        schedules.remove(job)
        job.next_run_at = None
    else:
        job.next_run_at = schedules.keep(job, anew=True)
    job.save(update_fields=["next_run_at"])
    if job.recurs and job.has_status("COMPLETED"):
        control.schedule(job)


def locked(job_id: Any) -> SynchronizationJob:
    """Nobody else changes it before the transaction ends. Raises CannotRun for one that is gone."""
    # Its run is asked for afterwards: joined, it would be as it was before the lock was waited for.
    jobs = SynchronizationJob.objects.select_for_update(no_key=True, of=("self",))
    job = jobs.filter(pk=job_id).first()
    if job is None:
        raise CannotRun("The job is gone: somebody removed it.")
    return job


def _refuse_open(job: SynchronizationJob) -> None:
    if job.latest_run is not None and job.latest_run.is_open:
        raise AlreadyRunning(job.latest_run)
