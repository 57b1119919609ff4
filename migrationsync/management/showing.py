"""What the command prints: lines for people, and the same as JSON values."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db.models import Count, F, Func, JSONField, Sum
from django.utils import timezone

from migrationsync import counts, schedules
from migrationsync.models import (
    DataDifferential,
    DifferentialRecord,
    MigrationCheckpoint,
    MigrationValidationReport,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.resolving.budget import in_words
from migrationsync.resolving.rules import allowed
from migrationsync.services.decisions import Preview

# Of a failed record's reasons, and of a preview's fields.
SHOWN = 5


class Found(NamedTuple):
    """Differences of one kind. `first`: some legacy ids, or UUIDs of rows that have none."""

    entity: str
    kind: str
    comparison_type: str
    records: int
    first: list[int | str]


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Numbers to the right; the last column may be as long as it likes."""
    listed = [list(row) for row in rows]
    cells = [list(headers), *([_cell(value) for value in row] for row in listed)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    to_the_right = [
        bool(listed) and all(type(row[i]) is int for row in listed) for i in range(len(headers))
    ]
    return [
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, to_the_right, strict=True)
        ).rstrip()
        for row in cells
    ]


# --- runs and jobs --------------------------------------------------------------------


def run_json(run: SynchronizationRun) -> dict[str, Any]:
    job = run.job
    return {
        "run": str(run.pk),
        "number": run.number,
        "job": job.job_name,
        "purpose": run.purpose,
        "outcome": run.outcome,
        "status": job.display_status,
        "entities": run.entities,
        "options": run.options,
        "counts": run.counts,
        "question": run.open_question,
        "error_code": job.error_code,
        "error_message": job.error_message,
    }


def checkpoints_json(run: SynchronizationRun) -> list[dict[str, Any]]:
    return [
        {
            "stage": each.stage,
            "entity": each.entity_type,
            "status": each.status,
            "records_processed": each.records_processed,
            "records_total": each.records_total,
            "last_processed_id": each.last_processed_id,
            "counts": each.counts,
            "error_message": each.error_message,
        }
        for each in _checkpoints(run)
    ]


def checkpoint_lines(run: SynchronizationRun) -> list[str]:
    return table(
        ("Stage", "Status", "Done", "Of", "Counts"),
        (
            (each.stage, each.status, each.records_processed, each.records_total, _counts(each))
            for each in _checkpoints(run)
        ),
    )


def job_json(job: SynchronizationJob) -> dict[str, Any]:
    run = job.latest_run
    return {
        "id": str(job.pk),
        "job": job.job_name,
        "type": job.job_type,
        "status": job.status,
        "display_status": job.display_status,
        "entities": job.entities_to_sync,
        "schedule": schedules.in_words(job.schedule_config),
        "last_run_at": job.last_run_at and job.last_run_at.isoformat(),
        "next_run_at": job.next_run_at and job.next_run_at.isoformat(),
        "total_records_synced": job.total_records_synced,
        "success_rate": None if job.success_rate is None else float(job.success_rate),
        "average_duration_ms": job.average_duration_ms,
        "waiting_reason": job.waiting_reason,
        "latest_run": run_json(run) if run else None,
    }


def jobs_lines(jobs: Iterable[SynchronizationJob]) -> list[str]:
    return table(
        ("Synchronization", "Status", "Last run", "Next run", "Synced", "Entities"),
        (
            (
                job.job_name,
                job.state_label,
                _time(job.last_run_at),
                _time(job.next_run_at),
                job.total_records_synced,
                ", ".join(job.entities_to_sync),
            )
            for job in jobs
        ),
    )


def job_lines(job: SynchronizationJob) -> list[str]:
    run = job.latest_run
    lines = [f"{job}: {job.state_label}"]
    if job.waiting_reason and job.is_runnable:
        lines.append(f"Waiting: {job.waiting_reason}")
    if job.error_message:
        lines.append(f"Error: {job.error_message}")
    if run is not None:
        ended = f"{run.outcome} {_time(run.ended_at)}" if run.outcome else "open"
        lines.append(
            f"Run {run.number}: {run.get_purpose_display()}, begun {_time(run.created_at)}, {ended}"
        )
        if run.open_question:
            lines.append(question(run))
        lines += ["", *checkpoint_lines(run), ""]
    lines.append(f"Runs: {schedules.in_words(job.schedule_config) or 'only when asked to'}")
    lines += [f"  {_time(each)}" for each in next_runs(job)]
    return lines


def next_runs(job: SynchronizationJob) -> list[Any]:
    """None for one whose schedule was taken away with a cancellation."""
    return [] if job.next_run_at is None else schedules.next_runs(job)


def question(run: SynchronizationRun) -> str:
    """What the run asks, and how it is answered from here."""
    asked = run.question or {"deletes": 0, "entities": {}}
    return (
        f"It stopped to ask: it would delete {', '.join(in_words(asked))}. To let it: "
        f"manage.py sync run {shlex.quote(run.job.job_name)} --approve-deletes {asked['deletes']}"
    )


# --- differences ----------------------------------------------------------------------


def found_by(run: SynchronizationRun, *, examples: int) -> list[Found]:
    """What a comparison found, by entity and kind, in the entities' order."""
    differentials = DataDifferential.objects.filter(checkpoint__run=run)
    groups = differentials.values_list("entity_type", "kind", "comparison_type").annotate(
        number=Sum("record_count")
    )
    found = []
    for entity, kind, comparison_type, records in groups.order_by("kind"):
        pages = differentials.filter(entity_type=entity, kind=kind).order_by("id")
        first = pages.values_list(_First("legacy_ids", examples=examples), flat=True)[:examples]
        ids = [each for page in first for each in page][:examples]
        found.append(Found(entity, kind, comparison_type, records, ids))
    return sorted(found, key=lambda each: run.entities.index(each.entity))


def found_lines(found: Sequence[Found]) -> list[str]:
    return table(
        ("Entity", "Kind", "Records", "First"),
        (
            (
                each.entity,
                DataDifferential.DifferenceKind(each.kind).label,
                each.records,
                ", ".join(map(str, each.first)),
            )
            for each in found
        ),
    )


def preview_lines(preview: Preview) -> list[str]:
    lines = table(
        ("What would be done", "Records"),
        ((action.label.capitalize(), number) for action, number in preview.actions.items()),
    )
    for each in preview.examples[:SHOWN]:
        lines.append(f"  {each.record.key}: {each.action.label}")
        for name, (before, after) in list(each.fields.items())[:SHOWN]:
            lines.append(f"    {name}: {before} → {after}")
        lines += [f"    But: {problem}" for problem in each.problems]
    for kind, number in preview.left_out.items():
        label = DataDifferential.DifferenceKind(kind.value).label
        choices = " or ".join(each.value for each in allowed(kind))
        lines.append(f"Left out: {number:,} “{label}”, for which there is only {choices}.")
    return lines


class Resolved(NamedTuple):
    """`reasons`: why the first that failed did, by their keys."""

    resolved: int
    skipped: int
    failed: int
    left: int
    reasons: dict[str, str]

    @property
    def is_all(self) -> bool:
        return not (self.failed or self.left)

    def __str__(self) -> str:
        return (
            f"{self.resolved:,} resolved, {self.skipped:,} left as they are, "
            f"{self.failed:,} couldn't be resolved, {self.left:,} still open."
        )


def resolved_by(run: SynchronizationRun) -> Resolved:
    records = DifferentialRecord.objects.filter(resolving_run=run)
    states = dict(records.values_list("state").annotate(Count("pk")))
    state = DifferentialRecord.State
    failed = records.filter(state=state.FAILED).order_by("id")[:SHOWN]
    return Resolved(
        states.get(state.RESOLVED, 0),
        states.get(state.SKIPPED, 0),
        states.get(state.FAILED, 0),
        states.get(state.OPEN, 0),
        {str(each.key): each.outcome for each in failed},
    )


# --- validation -----------------------------------------------------------------------


def reports_of(run: SynchronizationRun) -> list[MigrationValidationReport]:
    reports = list(run.reports.order_by("validation_type"))
    return sorted(reports, key=lambda each: run.entities.index(each.entity_type))


def report_json(report: MigrationValidationReport) -> dict[str, Any]:
    return {
        "id": str(report.pk),
        "entity": report.entity_type,
        "type": report.validation_type,
        "passed": report.validation_passed,
        "records_validated": report.records_validated,
        "discrepancies_found": report.discrepancies_found,
        "discrepancy_details": report.discrepancy_details,
        "execution_time_ms": report.execution_time_ms,
    }


def report_lines(reports: Sequence[MigrationValidationReport]) -> list[str]:
    return table(
        ("Entity", "Validation", "Records", "Result", "Discrepancies"),
        (
            (
                each.entity_type,
                each.get_validation_type_display(),
                each.records_validated,
                "passed" if each.validation_passed else "failed",
                "; ".join(
                    f"{wrong['count']:,} {wrong['what']}" for wrong in each.discrepancy_details
                ),
            )
            for each in reports
        ),
    )


class _First(Func):
    """The first of a JSON list: a page may have ten thousand."""

    function = "jsonb_path_query_array"
    output_field = JSONField()

    def __init__(self, field: str, *, examples: int) -> None:
        super().__init__(
            F(field), template=f"%(function)s(%(expressions)s, '$[0 to {examples - 1}]')"
        )


def _checkpoints(run: SynchronizationRun) -> Iterable[MigrationCheckpoint]:
    return run.checkpoints.order_by("id")


def _counts(checkpoint: MigrationCheckpoint) -> str:
    return counts.in_words(checkpoint.counts) if checkpoint.counts else ""


def _time(moment: Any) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M %Z}" if moment else "–"


def _cell(value: Any) -> str:
    return f"{value:,}" if type(value) is int else str(value)
