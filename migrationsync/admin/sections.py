"""The parts of a synchronization's page that its kind alone has.

One function per part answers what its template finds as `section`, or None where there is
nothing to be said. Each is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from content.admin.pagination import bounded
from migrationsync import counts, schedules
from migrationsync.admin import counting, steering, words
from migrationsync.differences import Kind
from migrationsync.models import (
    DataDifferential,
    MigrationCheckpoint,
    MigrationValidationReport,
    SynchronizationJob,
    SynchronizationRun,
)
from operations.admin import Section
from operations.api.pagination import is_number
from operations.stages import label

RUNS_SHOWN = 10
KINDS = dict(DataDifferential.DifferenceKind.choices)


class Checkpoint(NamedTuple):
    """`state` is one of the icons' names."""

    row: MigrationCheckpoint
    label: str
    state: str
    word: str
    last_id: str
    counts: list[tuple[str, int]]


class Found(NamedTuple):
    """Records of one kind, with where to look at them."""

    label: str
    records: int
    url: str


class FoundIn(NamedTuple):
    """What differs in one entity."""

    entity: str
    kinds: list[Found]
    review_url: str


class Reported(NamedTuple):
    """What one validation last said, and whether that is of the newest of the shown runs."""

    row: MigrationValidationReport
    is_newest: bool
    is_expired: bool


class PastRun(NamedTuple):
    row: SynchronizationRun
    asker: str
    lasted: str
    counts: list[tuple[str, int]]


class Runs(NamedTuple):
    """A page of the runs, newest first. `older` is the number to go on before."""

    rows: list[PastRun]
    is_newest: bool
    older: int | None


def run(request: HttpRequest, job: SynchronizationJob) -> dict[str, Any] | None:
    """The open run or the last one: what each entity's checkpoint stands at, and the counts."""
    latest = job.latest_run
    if latest is None:
        return None
    rows = list(MigrationCheckpoint.objects.filter(run=latest).defer("traceback").order_by("id"))
    found: Counter[str] = Counter(latest.counts)
    if latest.is_open:  # it is told of all together at its end
        found = sum((Counter(each.counts) for each in rows), Counter())
    return {
        "run": latest,
        "asker": words.asker(latest),
        "counts": counts.named(found),
        "approved": _approved(latest),
        "checkpoints": [_checkpoint(each) for each in rows],
    }


def _checkpoint(row: MigrationCheckpoint) -> Checkpoint:
    step = row.stage.partition("-")[0]
    status = MigrationCheckpoint.Status
    icons = {status["PENDING"]: "pending", status["IN_PROGRESS"]: "in_progress"}
    return Checkpoint(
        row,
        f"{label(step)} {row.entity_type}",
        str(icons.get(status(row.status), row.status)),
        row.get_status_display(),
        row.last_processed_id,
        counts.named(row.counts),
    )


def _approved(run: SynchronizationRun) -> str:
    """What was answered, where something was asked: within the budget nobody is asked."""
    if not run.question or run.approved_deletes is None:
        return ""
    return f"{steering.approved_in_words(run.approved_deletes)}."


def schedule(request: HttpRequest, job: SynchronizationJob) -> dict[str, Any]:
    return {
        "words": words.schedule(job),
        "runs": [(each, words.ahead(each)) for each in schedules.next_runs(job)]
        if job.recurs
        else [],
        "is_off": job.recurs and job.next_run_at is None,
    }


def differences(request: HttpRequest, job: SynchronizationJob) -> dict[str, Any] | None:
    found = counting.differing_by_kind(job)
    if not found:
        has_compared = job.runs.filter(
            purpose__in=[SynchronizationRun.Purpose.COMPARE, SynchronizationRun.Purpose.SYNC],
            outcome=SynchronizationRun.Outcome.COMPLETED,
        ).exists()
        return {"entities": []} if has_compared else None
    listing = reverse("admin:migrationsync_datadifferential_changelist")
    by_entity: dict[str, list[Found]] = {}
    for each in found:
        query = urlencode(
            {"entity": each["entity_type"], "kind__exact": each["kind"], "job": job.pk}
        )
        by_entity.setdefault(each["entity_type"], []).append(
            Found(KINDS.get(each["kind"], each["kind"]), each["found"], f"{listing}?{query}")
        )
    undecided = counting.differing([job.pk]).get(job.pk, 0)
    return {
        "undecided": undecided,
        "undecided_in_words": bounded(undecided),
        "has_held": any(each["kind"] == Kind.QUARANTINED for each in found),
        "entities": [
            FoundIn(name, kinds, reverse("admin:migrationsync_review", args=[job.pk, name]))
            for name, kinds in by_entity.items()
        ],
    }


def quarantine(request: HttpRequest, job: SynchronizationJob) -> list[dict[str, Any]] | None:
    rows = counting.quarantined(job.entities_to_sync)
    held = [name for name in job.entities_to_sync if rows.get(name)]
    if not held:
        return None
    why = counting.reasons(held)
    listing = reverse("admin:migrationsync_quarantinedrow_changelist")
    return [
        {
            "entity": name,
            "rows": bounded(rows[name]),
            "reasons": why.get(name, []),
            "url": f"{listing}?{urlencode({'entity': name, 'state': 'open'})}",
        }
        for name in held
    ]


def validation(request: HttpRequest, job: SynchronizationJob) -> dict[str, Any] | None:
    """What each of its validations last reported, by entity: a run may have made only some."""
    reports = list(
        MigrationValidationReport.objects.filter(run__job=job, entity_type__in=job.entities_to_sync)
        .defer("discrepancy_details")
        .select_related("run")
        .order_by("entity_type", "validation_type", "-run__number", "-id")
        .distinct("entity_type", "validation_type")
    )
    if not reports:
        return None
    newest = max((each.run for each in reports), key=lambda run: run.number)
    by_entity = {
        name: [
            Reported(each, each.run_id == newest.pk, each.expires_at <= timezone.now())
            for each in reports
            if each.entity_type == name
        ]
        for name in job.entities_to_sync
    }
    return {
        "run": newest,
        "is_of_one": all(each.run_id == newest.pk for each in reports),
        "entities": {name: found for name, found in by_entity.items() if found},
    }


def history(request: HttpRequest, job: SynchronizationJob) -> Runs | None:
    before = request.GET.get("runs_before", "")
    runs = job.runs.select_related("started_by").order_by("-number")
    is_newest = not is_number(before)
    if not is_newest:
        runs = runs.filter(number__lt=min(int(before), 2**31 - 1))
    page = list(runs[: RUNS_SHOWN + 1])
    if not page and is_newest:
        return None
    shown = page[:RUNS_SHOWN]
    return Runs(
        [
            PastRun(each, words.asker(each), words.lasted(each), counts.named(each.counts))
            for each in shown
        ],
        is_newest,
        shown[-1].number if len(page) > RUNS_SHOWN else None,
    )


# In the order of the page: what it does now, what is to be done about it, what it did.
SECTIONS: tuple[Callable[[HttpRequest, SynchronizationJob], Any], ...] = (
    run,
    differences,
    quarantine,
    validation,
    schedule,
    history,
)


def sections_of(request: HttpRequest, job: SynchronizationJob) -> list[Section]:
    return [
        Section(
            part.__name__,
            f"admin/migrationsync/synchronizationjob/sections/{part.__name__}.html",
            content,
        )
        for part in SECTIONS
        if (content := part(request, job)) is not None
    ]
