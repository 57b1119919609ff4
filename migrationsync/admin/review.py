"""The review: what is still to be decided of an entity, one record at a time, in three columns.

GET shows a record, POST decides it (or undoes the last decision) and leads to the next. Which
record is shown stands in the address, so that a reload, a second tab and a source that is away
keep the place. Owns the order and the page; what a decision does is `services.decisions`'s.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode

from content.admin.pagination import COUNT_LIMIT, bounded
from migrationsync.admin import showing
from migrationsync.admin.findings import FindingAdmin, as_uuid, job_url, look_up_url
from migrationsync.differences import Kind
from migrationsync.entities import Entity, UnknownEntity, entities
from migrationsync.exceptions import CannotDecide, CannotUndo, NotDeclared
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.models.differentials import Strategy
from migrationsync.resolving.rules import Action, action_of, allowed
from migrationsync.services import decisions
from migrationsync.source import SourceError
from operations.api.pagination import is_number
from operations.pages import confirmation

State = DifferentialRecord.State


class Review(NamedTuple):
    """What is reviewed: the open records of an entity, all or of one kind, and who does it."""

    job: SynchronizationJob
    entity: Entity
    kind: str
    may_decide: bool

    @property
    def differentials(self) -> QuerySet[DataDifferential]:
        found = DataDifferential.objects.open().filter(
            checkpoint__sync_job=self.job, entity_type=self.entity.name
        )
        return found.filter(kind=self.kind) if self.kind else found

    def url(self, record: int | None = None, last: int | None = None) -> str:
        return review_url(self.job.pk, self.entity.name, kind=self.kind, record=record, last=last)


class Choice(NamedTuple):
    """A decision and what it would do. `refusal` says why it can't be made here; `asks` what is
    asked before."""

    strategy: Strategy
    key: str
    says: str
    refusal: str
    asks: str


class Last(NamedTuple):
    """What was decided just before, with what undoes it."""

    record: DifferentialRecord
    change: AppliedChange | None


def review_url(job_id: UUID, entity: str, **query: object) -> str:
    given = urlencode({name: str(value) for name, value in query.items() if value})
    url = reverse("admin:migrationsync_review", args=[job_id, entity])
    return f"{url}?{given}" if given else url


def review_page(
    model_admin: FindingAdmin, request: HttpRequest, job: UUID, entity: str
) -> HttpResponse:
    try:
        review = _review(model_admin, request, job, entity)
    except NotDeclared as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(job_url(job))
    if request.method == "POST":
        if not review.may_decide:
            raise PermissionDenied
        return _undo(request, review) if "undo" in request.POST else _decide(request, review)
    return _show(model_admin, request, review)


def _review(model_admin: FindingAdmin, request: HttpRequest, job_id: UUID, name: str) -> Review:
    """Raises NotDeclared."""
    job = get_object_or_404(model_admin.jobs(request), pk=job_id)
    try:
        entity = entities.get(name)
    except UnknownEntity as error:
        of_job = DataDifferential.objects.filter(checkpoint__sync_job=job, entity_type=name)
        if of_job.exists():
            raise NotDeclared(error) from error
        raise Http404(str(error)) from error
    kind = request.GET.get("kind", "")
    return Review(
        job, entity, kind if kind in set(Kind) else "", job.may_be_controlled_by(request.user)
    )


# --- showing ------------------------------------------------------------------------------


def _show(model_admin: FindingAdmin, request: HttpRequest, review: Review) -> HttpResponse:
    record = _record(review, request.GET.get("record", "")) or first_open(review.differentials)
    last = _record(review, request.GET.get("last", ""))
    context = model_admin.page(
        request,
        title=f"Review of {review.entity.name}",
        subtitle=None,
        review=review,
        record=record,
        job_url=job_url(review.job.pk),
        kind_label=DataDifferential.DifferenceKind(review.kind).label if review.kind else "",
        all_url=review._replace(kind="").url() if review.kind else "",
        last=_last(last) if last and last != record else None,
        last_id=last.pk if last else None,
    )
    if record is None:
        context["left"] = _count(review._replace(kind="").differentials) if review.kind else ""
    else:
        context |= _place(review, record, last) | _three_columns(review, record)
    return TemplateResponse(request, "admin/migrationsync/datadifferential/review.html", context)


def _place(
    review: Review, record: DifferentialRecord, last: DifferentialRecord | None
) -> dict[str, Any]:
    """Where the record stands among those that are open, and the ways to its neighbours."""
    differentials = review.differentials
    following, before = _after(differentials, record), _before(differentials, record)
    keep = last.pk if last else None
    is_open = _is_open(record)
    return {
        "is_open": is_open,
        "position": _number(differentials, record) if is_open else "",
        "open_count": _count(differentials),
        "held_count": "" if review.kind else _count(differentials.filter(kind=Kind.QUARANTINED)),
        "next_url": review.url(following.pk, keep) if following else "",
        "previous_url": review.url(before.pk, keep) if before else "",
        "action": review.url(record.pk, keep),
    }


def _three_columns(review: Review, record: DifferentialRecord) -> dict[str, Any]:
    differential = record.differential
    context = {
        "differential": differential,
        "kind_words": showing.KINDS[differential.kind],
        "newest_change": record.changes.first(),
        "resolving": _resolving(record),
        "look_up_url": look_up_url(record.key),
    }
    try:
        found, token = decisions.explanation(record)
    except SourceError as error:
        return {**context, "away": str(error)}
    return {
        **context,
        "found": found,
        "token": token,
        "rows": showing.field_rows(review.entity, found),
        "raw_rows": []
        if found.legacy is None or showing.is_converted(review.entity, found)
        else showing.raw_rows(found.legacy),
        "who_changed": showing.who_changed(found),
        "choices": _choices(review, record),
        "may_be_decided": review.may_decide and _is_open(record) and not _resolving(record),
    }


def _is_open(record: DifferentialRecord) -> bool:
    return record.is_undecided and record.differential.superseded_at is None


def _resolving(record: DifferentialRecord) -> SynchronizationRun | None:
    """The run that is carrying out a decision about it."""
    run = record.resolving_run
    return run if run and run.is_open and record.state == State.OPEN else None


def _choices(review: Review, record: DifferentialRecord) -> list[Choice]:
    kind = Kind(record.differential.kind)
    return [_choice(review, record, kind, each) for each in showing.DECISIONS]


def _choice(review: Review, record: DifferentialRecord, kind: Kind, strategy: Strategy) -> Choice:
    action = _action(review, record, kind, strategy)
    refusal = ""
    if strategy not in allowed(kind):
        refusal = showing.NOTHING_TO_WIN
    asks = _question(review, record, action) if action.is_delete and not refusal else ""
    return Choice(strategy, showing.DECISIONS[strategy], showing.ACTIONS[action], refusal, asks)


def _action(review: Review, record: DifferentialRecord, kind: Kind, strategy: Strategy) -> Action:
    return action_of(kind, record.is_contested, review.job.sync_direction, strategy)


def _question(review: Review, record: DifferentialRecord, action: Action) -> str:
    side = "source" if action is Action.DELETE_SOURCE else "target"
    return f"Delete {review.entity.name} {record.key} from the {side}?"


def _last(record: DifferentialRecord) -> Last:
    return Last(record, record.changes.filter(undone_at=None).first())


# --- deciding -------------------------------------------------------------------------------


def _decide(request: HttpRequest, review: Review) -> HttpResponse:
    record = _record(review, request.POST.get("record", ""))
    strategy = request.POST.get("strategy", "")
    if record is None or strategy not in showing.DECISIONS:
        messages.error(request, "Nothing was decided: this record isn't there any more.")
        return HttpResponseRedirect(review.url())
    strategy = Strategy(strategy)
    token = request.POST.get("token", "")
    choice = _choice(review, record, Kind(record.differential.kind), strategy)
    if choice.asks and "confirmed" not in request.POST:
        return confirmation(
            request,
            back_url=review.url(record.pk),
            title=choice.asks,
            text=f"{choice.says} It can be undone on the page of applied changes.",
            action=request.get_full_path(),
            fields=[
                ("record", record.pk),
                ("strategy", strategy.value),
                ("token", token),
                ("confirmed", "yes"),
            ],
            label="Delete it",
        )
    try:
        decided = decisions.decide(record, strategy, token=token, by=request.user)
    except (CannotDecide, SourceError) as error:
        messages.error(request, f"Nothing was decided. {error}")
        return HttpResponseRedirect(review.url(record.pk))
    if decided.state == State.FAILED:
        # Its page says why, and it is to be decided in another way.
        return HttpResponseRedirect(review.url(record.pk))
    following = _after(review.differentials, record) or first_open(review.differentials)
    return HttpResponseRedirect(review.url(following.pk if following else None, record.pk))


def _undo(request: HttpRequest, review: Review) -> HttpResponse:
    key = as_uuid(request.POST["undo"])
    changes = AppliedChange.objects.filter(
        record__differential__checkpoint__sync_job=review.job
    ).select_related("record")
    change = changes.filter(pk=key).first() if key else None
    if change is None:
        messages.error(request, "There is no such change any more.")
        return HttpResponseRedirect(review.url())
    try:
        decisions.undo(change, by=request.user)
    except (CannotUndo, SourceError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{review.entity.name} {change.key}: undone.")
    return HttpResponseRedirect(review.url(change.record_id))


# --- the order: by differential, and in it as they were found ----------------------------------


def first_open(differentials: QuerySet[DataDifferential]) -> DifferentialRecord | None:
    differential = differentials.filter(_HOLDS_OPEN).order_by("pk").only("pk").first()
    return _open_of(differential).order_by("pk").first() if differential else None


def _last_open(differentials: QuerySet[DataDifferential]) -> DifferentialRecord | None:
    differential = differentials.filter(_HOLDS_OPEN).order_by("-pk").only("pk").first()
    return _open_of(differential).order_by("-pk").first() if differential else None


def _after(
    differentials: QuerySet[DataDifferential], record: DifferentialRecord
) -> DifferentialRecord | None:
    here = differentials.filter(pk=record.differential_id).only("pk").first()
    neighbour = here and _open_of(here).filter(pk__gt=record.pk).order_by("pk").first()
    return neighbour or first_open(differentials.filter(pk__gt=record.differential_id))


def _before(
    differentials: QuerySet[DataDifferential], record: DifferentialRecord
) -> DifferentialRecord | None:
    here = differentials.filter(pk=record.differential_id).only("pk").first()
    neighbour = here and _open_of(here).filter(pk__lt=record.pk).order_by("-pk").first()
    return neighbour or _last_open(differentials.filter(pk__lt=record.differential_id))


_HOLDS_OPEN = Exists(DifferentialRecord.objects.undecided().filter(differential=OuterRef("pk")))


def _open_of(differential: DataDifferential) -> QuerySet[DifferentialRecord]:
    return DifferentialRecord.objects.undecided().filter(differential=differential.pk)


def _number(differentials: QuerySet[DataDifferential], record: DifferentialRecord) -> str:
    """Of how many it is the last; empty past the limit."""
    before = Q(differential__lt=record.differential_id)
    before |= Q(differential=record.differential_id, pk__lte=record.pk)
    number = _counted(_open(differentials).filter(before))
    return f"{number:,}" if number <= COUNT_LIMIT else ""


def _count(differentials: QuerySet[DataDifferential]) -> str:
    number = _counted(_open(differentials))
    return bounded(number) if number else ""


def _open(differentials: QuerySet[DataDifferential]) -> QuerySet[DifferentialRecord]:
    return DifferentialRecord.objects.undecided().filter(differential__in=differentials)


def _counted(records: QuerySet[DifferentialRecord]) -> int:
    return records.order_by().values("pk")[: COUNT_LIMIT + 1].count()


def _record(review: Review, key: str) -> DifferentialRecord | None:
    if not is_number(key):
        return None
    return (
        DifferentialRecord.objects.filter(
            pk=int(key),
            differential__checkpoint__sync_job=review.job,
            differential__entity_type=review.entity.name,
        )
        .select_related("differential__checkpoint__run", "resolving_run", "decided_by")
        .defer("differential__legacy_ids", "differential__comparison_criteria")
        .first()
    )
