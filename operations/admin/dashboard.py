"""All operations on one page, of every kind: what needs somebody first.

Owns which operations are shown where, and what is said of the machinery (workers, queue,
gates). Every list is bounded. The page is drawn here as it is; `live-page.js` draws it anew
every few seconds, and each operation's feed moves it in between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from operations import kinds, watching
from operations.admin.base import OperationAdmin
from operations.following import BEAT_AGE_SECONDS
from operations.gates.report import load_report
from operations.kinds import Kind
from operations.models import ClusterHeartbeat, Operation
from operations.pages import live_refresh
from operations.queue.depth import queue_depth
from operations.stages import Stage

# Each of them holds a websocket open.
SHOWN = 20
RECENT = 10
CLUSTERS_SHOWN = 50
REFRESH_SECONDS = 10
# In progress, and no worker has held it for so long.
STALLED_AFTER = dt.timedelta(seconds=60)


class Entry(NamedTuple):
    """One operation. `steered_url`: its place on this page; `stalled_for` says for how long nobody
    has worked on it, if so; `question` what it has stopped to ask; `rank` 0 is what most needs
    somebody."""

    operation: Operation
    url: str
    steered_url: str
    summary: str
    stages: Sequence[Stage]
    stalled_for: str
    question: str
    rank: int


class Entries(NamedTuple):
    """`more`: there are others that are not shown."""

    shown: list[Entry]
    more: bool


class Cluster(NamedTuple):
    """`state`: running, starting or silent."""

    row: ClusterHeartbeat
    age: str
    state: str


def dashboard(request: HttpRequest) -> HttpResponse:
    """The page. For staff who may look at some kind of operation."""
    seen = _admins(request)
    if not seen:
        raise PermissionDenied
    clusters = _clusters()
    context = {
        **admin.site.each_context(request),
        **live_refresh(request),
        "title": "Operations",
        "media": sum((each.media for each in seen), Media()),
        "refresh_seconds": REFRESH_SECONDS,
        "attention": _entries(request, seen, attention, SHOWN),
        "running": _entries(request, seen, running, SHOWN),
        "recent": _entries(request, seen, recent, RECENT),
        "lists": [(each.list_url(), each.opts.verbose_name_plural) for each in seen],
        "clusters": clusters,
        "is_alive": any(each.state == "running" for each in clusters),
        "depth": queue_depth(),
        "gates": load_report(),
        "places": settings.OPERATION_MAX_CONCURRENT_JOBS,
    }
    return TemplateResponse(request, "admin/operations/dashboard.html", context)


def may_see_dashboard(request: HttpRequest) -> bool:
    return bool(_admins(request))


# --- which operations -------------------------------------------------------------


def attention(page: OperationAdmin) -> Q:
    """Where somebody may have to do something."""
    return reduce(or_, _needs(page))


def _needs(page: OperationAdmin) -> tuple[Q, ...]:
    """Failed and not dealt with, asking, in nobody's hands, or waiting: what most needs somebody
    first."""
    status = page.model.Status
    failed = Q(status=status["FAILED"]) & ~page.settled()
    asking = Q(status=status["PAUSED"]) & kinds.get(page.model.kind).asking()
    waiting = _runnable(page) & ~Q(waiting_reason="")
    return failed, asking, _stalled(page), waiting


def running(page: OperationAdmin) -> Q:
    """Under way, about to be, or paused. Not what waits for its next run: it has no job."""
    job = kinds.get(page.model.kind).job
    open_jobs = job._default_manager.filter(
        **{job.operation_field: OuterRef("pk")},
        status__in=[job.Status[name] for name in job.RUNNABLE],
    )
    begins = Q(Exists(open_jobs), status=page.model.Status["PENDING"])
    return (begins | _begun(page)) & ~attention(page)


def recent(page: OperationAdmin) -> Q:
    """Ended, or waiting for its next run since the last one has."""
    return Q(ended_at__isnull=False) & ~_begun(page) & ~attention(page)


def _begun(page: OperationAdmin) -> Q:
    return _has_status(page, ("IN_PROGRESS", "PAUSED"))


def _stalled(page: OperationAdmin) -> Q:
    job = kinds.get(page.model.kind).job
    held = job._default_manager.filter(
        **{job.operation_field: OuterRef("pk")}, lease_until__gt=Now()
    )
    return Q(
        ~Exists(held),
        status=page.model.Status["IN_PROGRESS"],
        updated_at__lt=Now() - STALLED_AFTER,
        waiting_reason="",
    )


def _runnable(page: OperationAdmin) -> Q:
    return _has_status(page, page.model.RUNNABLE)


def _has_status(page: OperationAdmin, names: Iterable[str]) -> Q:
    return Q(status__in=[page.model.Status[name] for name in names])


def _admins(request: HttpRequest) -> list[OperationAdmin]:
    """The pages of the kinds that this user may look at."""
    pages = (_admin_of(kind) for kind in kinds.all_kinds())
    return [page for page in pages if page and page.has_view_permission(request)]


def _admin_of(kind: Kind[Any]) -> OperationAdmin | None:
    if not admin.site.is_registered(kind.operation):
        return None
    page = admin.site.get_model_admin(kind.operation)
    return page if isinstance(page, OperationAdmin) else None


def _entries(request: HttpRequest, pages: list[OperationAdmin], which: Any, limit: int) -> Entries:
    """The most urgent first where they need somebody; the newest of those, or the last ended."""
    newest = "-ended_at" if which is recent else "-pk"
    found: list[Entry] = []
    for page in pages:
        needs = _needs(page) if which is attention else ()
        operations: QuerySet[Any] = (
            page.get_queryset(request)
            .filter(which(page))
            .annotate(rank=_rank(needs))
            .order_by("rank", newest)
        )
        found += [
            Entry(
                operation=each,
                url=page.page_url(each),
                steered_url=f"{request.path}#{each.kind}-{each.pk}",
                summary=page.summary(each),
                stages=kinds.get(each.kind).stages_of(each),
                stalled_for=_stalled_for(each) if which is attention else "",
                question=page.question(each),
                rank=each.rank,
            )
            for each in operations.select_related("requested_by")[: limit + 1]
        ]
    # Ids of different kinds don't compare: by time, as each kind's were.
    found.sort(
        key=lambda entry: (
            (entry.operation.ended_at if which is recent else None) or entry.operation.created_at
        ),
        reverse=True,
    )
    found.sort(key=lambda entry: entry.rank)
    return Entries(found[:limit], len(found) > limit)


def _rank(needs: Sequence[Q]) -> Case:
    whens = (When(need, then=Value(rank)) for rank, need in enumerate(needs))
    return Case(*whens, default=Value(len(needs)))


def _stalled_for(operation: Operation) -> str:
    if not operation.has_status("IN_PROGRESS") or operation.waiting_reason:
        return ""
    return watching.duration((timezone.now() - operation.updated_at).total_seconds())


# --- the machinery ------------------------------------------------------------------


def _clusters() -> list[Cluster]:
    rows = ClusterHeartbeat.objects.annotate(age=Now() - F("beat_at")).order_by("cluster")
    return [
        Cluster(row, watching.duration(row.age.total_seconds()), _state(row))
        for row in rows[:CLUSTERS_SHOWN]
    ]


def _state(row: Any) -> str:
    if row.age.total_seconds() > BEAT_AGE_SECONDS:
        return "silent"
    # The row is made with the two equal, before any worker has shown anything.
    return "running" if row.beat_at > row.started_at else "starting"
