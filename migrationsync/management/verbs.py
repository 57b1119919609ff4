"""What `manage.py sync` does, a function for each verb. Each answers the exit code.

Raises CommandError where there is no answer.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db.models import Q

from migrationsync import counts
from migrationsync.differences import Kind
from migrationsync.exceptions import NoSuchChoice, OverDeleteBudget
from migrationsync.management import asking, showing
from migrationsync.management.following import follow_run, started
from migrationsync.management.output import Output
from migrationsync.models import (
    DifferentialRecord,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.models.differentials import Strategy
from migrationsync.querysets import RecordQuerySet
from migrationsync.services import decisions
from migrationsync.services import running as services
from migrationsync.source import SourceError
from operations.exceptions import OperationError

Purpose = SynchronizationRun.Purpose

OK = 0
# “There are differences”, “something didn't pass”.
FOUND = 1
NOT_FINISHED = 3


def run(
    out: Output,
    *,
    job: str,
    entities: Sequence[str] | None,
    since: dt.datetime | None,
    approve_deletes: int | None,
    detach: bool,
    **options: Any,
) -> int:
    found = asking.job_named(job)
    if approve_deletes is None:
        names = asking.entities_of(found, entities)
        run, created = started(found, entities=names, since=since)
    else:
        run, created = _approved(found, approve_deletes), False
    _say_started(out, run, created)
    if not detach:
        follow_run(run, out.progress, then=_to_follow(f"manage.py sync run {_quoted(found)}"))
    checkpoints = showing.checkpoints_json(run)
    out.tell(showing.run_json(run), {"created": created, "checkpoints": checkpoints})
    if not detach:
        _check_completed(run)
        out.say(*showing.checkpoint_lines(run))
        out.cheer(f"{run} is completed: {counts.in_words(run.counts)}.")
    return OK


def status(out: Output, *, job: str | None, **options: Any) -> int:
    if job is None:
        jobs = list(asking.jobs())
        out.tell({"jobs": [showing.job_json(each) for each in jobs]})
        nothing = ["There is none yet: make one in the admin or over the API."]
        out.say(*(showing.jobs_lines(jobs) if jobs else nothing))
        return OK
    found = asking.job_named(job)
    run = found.latest_run
    out.tell(
        showing.job_json(found),
        {
            "checkpoints": showing.checkpoints_json(run) if run else [],
            "next_runs": [each.isoformat() for each in showing.next_runs(found)],
        },
    )
    out.say(*showing.job_lines(found))
    return OK


def diff(
    out: Output,
    *,
    job: str | None,
    entities: Sequence[str] | None,
    since: dt.datetime | None,
    source_only: bool,
    examples: int,
    **options: Any,
) -> int:
    for name in entities or ():
        asking.entity_named(name)
    if job is None and not entities:
        raise CommandError("Name a synchronization, or --entities.", returncode=asking.USAGE)
    if since and source_only:
        raise CommandError(
            "--since looks at the source alone: leave --source-only out.", returncode=asking.USAGE
        )
    found = asking.job_named(job) if job else asking.terminals_job()
    names = asking.entities_of(found, entities)
    run, created = started(
        found, Purpose.COMPARE, entities=names, since=since, source_only=source_only
    )
    _say_started(out, run, created)
    follow_run(run, out.progress, then=_to_follow("the same again"))
    differences = showing.found_by(run, examples=examples)
    number = sum(each.records for each in differences)
    examined = sum(each["records_processed"] for each in showing.checkpoints_json(run))
    out.tell(
        showing.run_json(run),
        {
            "examined": examined,
            "differences": number,
            "found": [each._asdict() for each in differences],
        },
    )
    _check_completed(run)
    if not number:
        out.cheer(f"No differences: {examined:,} rows examined.")
        return OK
    out.say(*showing.found_lines(differences))
    out.say(f"{number:,} records differ; {examined:,} rows were examined.")
    return FOUND


def resolve(
    out: Output,
    *,
    job: str,
    strategy: str,
    entity: str | None,
    kind: str | None,
    records: Sequence[int | UUID] | None,
    dry_run: bool,
    approve_deletes: int,
    **options: Any,
) -> int:
    found = asking.job_named(job)
    if records and not entity:
        raise CommandError("--records are those of an --entity.", returncode=asking.USAGE)
    asking.entities_of(found, [entity] if entity else None)
    chosen = DifferentialRecord.objects.to_decide().of_job(
        found, entity=entity, kind=Kind(kind) if kind else None
    )
    if records:
        chosen = _of_keys(chosen, records)
    if not chosen.exists():
        out.tell({"job": found.job_name, "preview": None, "dry_run": dry_run})
        out.say("Nothing is open to be resolved.")
        return OK
    try:
        leaves_out = not records
        preview = decisions.preview(chosen, Strategy(strategy), leaves_out=leaves_out)
        out.say(*showing.preview_lines(preview))
        told = {
            "job": found.job_name,
            "preview": preview.as_json(),
            "dry_run": dry_run,
        }
        if dry_run:
            out.tell(told)
            return OK
        run, created = decisions.resolve(
            chosen,
            Strategy(strategy),
            by=None,
            approved_deletes=approve_deletes,
            leaves_out=leaves_out,
        )
    except OverDeleteBudget as error:
        deletes = error.question["deletes"]
        raise CommandError(f"{error} To approve it: --approve-deletes {deletes}") from error
    except NoSuchChoice as error:
        raise CommandError(str(error), returncode=asking.USAGE) from error
    except (OperationError, SourceError) as error:
        raise CommandError(str(error)) from error
    _say_started(out, run, created)
    see = f"To see how far it is: manage.py sync status {_quoted(found)}"
    follow_run(run, out.progress, then=see)
    became = showing.resolved_by(run)
    out.tell(told, showing.run_json(run), became._asdict())
    _check_completed(run)
    out.say(*(f"  {key}: {reason}" for key, reason in became.reasons.items()))
    (out.cheer if became.is_all else out.say)(str(became))
    return OK if became.is_all else FOUND


def validate(
    out: Output,
    *,
    job: str,
    entities: Sequence[str] | None,
    types: Sequence[str] | None,
    **options: Any,
) -> int:
    found = asking.job_named(job)
    names = asking.entities_of(found, entities)
    run, created = started(found, Purpose.VALIDATE, entities=names, types=types)
    _say_started(out, run, created)
    follow_run(run, out.progress, then=_to_follow("the same again"))
    reports = showing.reports_of(run)
    out.tell(showing.run_json(run), {"reports": [showing.report_json(each) for each in reports]})
    _check_completed(run)
    out.say(*showing.report_lines(reports))
    wrong = sum(not each.validation_passed for each in reports)
    if wrong:
        out.say(f"{wrong} of {len(reports)} didn't pass.")
        return FOUND
    out.cheer(f"All {len(reports)} passed.")
    return OK


def _say_started(out: Output, run: SynchronizationRun, created: bool) -> None:
    out.say(
        f"{'Started' if created else 'Under way already:'} {str(run).replace('Run', 'run', 1)}."
    )


def _check_completed(run: SynchronizationRun) -> None:
    """Raises CommandError for one that isn't."""
    if run.open_question:
        raise CommandError(showing.question(run), returncode=NOT_FINISHED)
    if run.outcome != SynchronizationRun.Outcome.COMPLETED:
        why = run.job.error_message if run.outcome == SynchronizationRun.Outcome.FAILED else ""
        raise CommandError(f"{run} is {run.outcome or 'open'}. {why}".rstrip())


def _approved(job: SynchronizationJob, most: int) -> SynchronizationRun:
    run = job.latest_run
    question = run and run.open_question
    if run is None or not question:
        raise CommandError(f"{job} doesn't ask anything.", returncode=asking.USAGE)
    if question["deletes"] > most:
        raise CommandError(showing.question(run), returncode=asking.USAGE)
    try:
        services.approve_deletes(job, by=None)
    except OperationError as error:
        raise CommandError(str(error)) from error
    return run


def _of_keys(records: RecordQuerySet, keys: Sequence[int | UUID]) -> RecordQuerySet:
    """Raises CommandError where one isn't there."""
    legacy_ids = [key for key in keys if isinstance(key, int)]
    uuids = [key for key in keys if isinstance(key, UUID)]
    chosen = records.filter(Q(legacy_id__in=legacy_ids) | Q(legacy_id=None, uuid__in=uuids))
    there = {str(each.key) for each in chosen.only("legacy_id", "uuid")}
    missing = [str(key) for key in keys if str(key) not in there]
    if missing:
        raise CommandError(
            f"These aren't open to be resolved: {', '.join(missing[:10])}.",
            returncode=asking.USAGE,
        )
    return chosen


def _to_follow(command: str) -> str:
    return f"To follow it again: {command}"


def _quoted(job: SynchronizationJob) -> str:
    return shlex.quote(job.job_name)
