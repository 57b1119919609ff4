"""The page between choosing differences and resolving them: a dry run of what would be done.

GET writes nothing, POST starts the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode

from migrationsync.admin.findings import FindingAdmin, as_uuid, job_url
from migrationsync.admin.showing import Change, moves
from migrationsync.exceptions import CannotDecide, CannotRun, OverDeleteBudget
from migrationsync.models import DataDifferential, DifferentialRecord, SynchronizationJob
from migrationsync.models.differentials import Strategy
from migrationsync.services import decisions
from migrationsync.source import SourceError
from operations.api.pagination import is_number

# Differentials, or single records, at a time.
MAX_CHOSEN = 100


class Chosen(NamedTuple):
    """The undecided records that were chosen, and where they come from."""

    records: QuerySet[DifferentialRecord]
    differentials: list[DataDifferential]
    jobs: list[SynchronizationJob]


class Deletes(NamedTuple):
    """What an entity would lose. `is_over`: a larger share than may be without asking."""

    entity: str
    deletes: int
    records: int
    percent: float
    is_over: bool


class Example(NamedTuple):
    record: DifferentialRecord
    action: str
    changes: list[Change]
    problems: tuple[str, ...]


def resolve_url(
    strategy: str, *, differentials: Iterable[UUID] = (), records: Iterable[int] = ()
) -> str:
    chosen = [("strategy", str(strategy))]
    chosen += [("differential", str(each)) for each in differentials]
    chosen += [("record", str(each)) for each in records]
    query = urlencode(chosen)
    return f"{reverse('admin:migrationsync_datadifferential_resolve')}?{query}"


def resolve_page(model_admin: FindingAdmin, request: HttpRequest) -> HttpResponse:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    source = request.POST if request.method == "POST" else request.GET
    chosen = _chosen(request.user, source.getlist("differential"), source.getlist("record"))
    back_url = _back_url(chosen)
    strategy = source.get("strategy", "")
    refusal = _refusal(chosen, strategy, source)
    if refusal:
        messages.error(request, f"Nothing was started. {refusal}")
        return HttpResponseRedirect(back_url)
    (job,) = chosen.jobs
    if not job.may_be_controlled_by(request.user):
        raise PermissionDenied
    problem = ""
    if request.method == "POST":
        approved = source.get("approved_deletes", "")
        try:
            started = decisions.resolve(
                chosen.records,
                Strategy(strategy),
                by=request.user,
                approved_deletes=int(approved) if is_number(approved) else 0,
            )
        except (OverDeleteBudget, CannotDecide, CannotRun, SourceError) as error:
            # The dry run below says what would be done now.
            problem = str(error)
        else:
            messages.success(request, f"{started.run} resolves what you chose.")
            return HttpResponseRedirect(job_url(job.pk))
    context = model_admin.page(
        request,
        title=f"{Strategy(strategy).label}: dry run",
        job=job,
        job_url=job_url(job.pk),
        strategy=Strategy(strategy),
        differentials=chosen.differentials,
        chosen=[("differential", each) for each in source.getlist("differential")]
        + [("record", each) for each in source.getlist("record")],
        back_url=back_url,
        problem=problem,
        **_preview(chosen, Strategy(strategy), job),
    )
    return TemplateResponse(request, "admin/migrationsync/datadifferential/resolve.html", context)


def _chosen(user: Any, differentials: list[str], records: list[str]) -> Chosen:
    """What is still to be decided of it, and the user's to see."""
    wanted = Q(differential__in=[key for each in differentials if (key := as_uuid(each))])
    wanted |= Q(pk__in=[int(each) for each in records if is_number(each)])
    found = DifferentialRecord.objects.visible_to(user).to_decide().filter(wanted)
    sources = (
        DataDifferential.objects.filter(pk__in=found.values("differential"))
        .defer("legacy_ids", "comparison_criteria")
        .select_related("checkpoint__sync_job")
        .order_by("pk")
    )
    listed = list(sources)
    return Chosen(
        found,
        listed,
        list({each.checkpoint.sync_job_id: each.checkpoint.sync_job for each in listed}.values()),
    )


def _refusal(chosen: Chosen, strategy: str, source: Any) -> str:
    """Why there is nothing to show a dry run of; empty where there is."""
    asked = len(source.getlist("differential")) + len(source.getlist("record"))
    if strategy not in (Strategy.SOURCE_WINS, Strategy.TARGET_WINS, Strategy.SKIP):
        return "Choose who wins."
    if not asked:
        return "Tick at least one record."
    if asked > MAX_CHOSEN:
        return f"More than {MAX_CHOSEN} are chosen: choose at most {MAX_CHOSEN} at a time."
    if not chosen.jobs:
        return "What you chose was decided meanwhile, or a later comparison has replaced it."
    if len(chosen.jobs) > 1:
        names = ", ".join(f"“{each}”" for each in chosen.jobs)
        return f"These are of several synchronizations ({names}): choose those of one at a time."
    return ""


def _back_url(chosen: Chosen) -> str:
    if len(chosen.differentials) == 1:
        (only,) = chosen.differentials
        return reverse("admin:migrationsync_datadifferential_change", args=[only.pk])
    return reverse("admin:migrationsync_datadifferential_changelist")


def _preview(chosen: Chosen, strategy: Strategy, job: SynchronizationJob) -> dict[str, Any]:
    try:
        found = decisions.preview(chosen.records, strategy)
    except (CannotDecide, SourceError) as error:
        return {"refusal": str(error)}
    deletes = {name: each["deletes"] for name, each in found.deletes.items()}
    return {
        "records": sum(found.actions.values()),
        "actions": [
            (_capitalized(action.label), action.is_delete, number)
            for action, number in sorted(found.actions.items(), key=lambda each: -each[1])
            if number
        ],
        "deletes": [_deletes(job, name, **each) for name, each in found.deletes.items()],
        "all_deletes": sum(deletes.values()),
        "over": sum(deletes.values()) if found.is_over_budget else 0,
        "examples": [
            Example(
                each.record,
                _capitalized(each.action.label),
                moves(each.action, each.fields),
                each.problems,
            )
            for each in found.examples
        ],
    }


def _deletes(job: SynchronizationJob, entity: str, *, deletes: int, records: int) -> Deletes:
    percent = 100 * deletes / records if records else 0.0
    return Deletes(entity, deletes, records, percent, percent > job.max_deleted_percent)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
