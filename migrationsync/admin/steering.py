"""Starting a run of a synchronization, and answering what it stopped to ask.

Pausing, resuming, retrying and cancelling are the kernel's, as for every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from migrationsync.exceptions import CannotRun
from migrationsync.models import SynchronizationJob, SynchronizationRun
from migrationsync.resolving.budget import in_words
from migrationsync.services import running as services
from operations import verbs
from operations.exceptions import OperationError
from operations.pages import confirmation

Purpose = SynchronizationRun.Purpose


class Start(NamedTuple):
    """A way to start a run. `purpose` is empty for what the job is there for."""

    name: str
    label: str
    purpose: str
    explanation: str


STARTS = (
    Start("run_now", "Run now", "", "Does at once what the job is there for."),
    Start(
        "dry_run",
        "Dry run (compare)",
        Purpose.COMPARE,
        "Finds what differs, and changes nothing on either side.",
    ),
    Start(
        "validate",
        "Validate",
        Purpose.VALIDATE,
        "Checks what was migrated, and reports. Changes nothing on either side.",
    ),
)
BY_NAME = {each.name: each for each in STARTS}


def starts(job: SynchronizationJob, user: Any) -> tuple[Start, ...]:
    """What may be started now: nothing beside an open run, nor of a job that is paused."""
    if not job.may_be_controlled_by(user) or job.has_status("PAUSED"):
        return ()
    run = job.latest_run
    return () if run is not None and run.is_open else STARTS


def start(request: HttpRequest, job: SynchronizationJob, name: str, back_url: str) -> HttpResponse:
    """POST: starts a run and goes back, with a message of what was started."""
    if name not in BY_NAME:
        raise Http404
    try:
        messages.success(request, _start(job, BY_NAME[name], request.user))
    except (OperationError, PermissionDenied) as error:
        messages.error(request, str(error))
    return HttpResponseRedirect(back_url)


def _start(job: SynchronizationJob, way: Start, user: Any) -> str:
    """What was started, in words. Raises PermissionDenied, CannotRun."""
    if not job.may_be_controlled_by(user):
        raise PermissionDenied(
            f"“{job}” is somebody else's: only they, or somebody with the permission to change "
            "any synchronization, can run it."
        )
    started = services.start_run(
        job, by=user, purpose=Purpose(way.purpose) if way.purpose else None
    )
    purpose = started.run.get_purpose_display().lower()
    if not started.created:
        return f"“{job}” is at it already: {purpose}, run {started.run.number}."
    return f"“{job}”: run {started.run.number} was started ({purpose})."


# --- the answer to its question -----------------------------------------------------------


def question(job: SynchronizationJob) -> dict[str, Any] | None:
    return job.latest_run.open_question if job.latest_run else None


def approve(request: HttpRequest, job: SynchronizationJob, page_url: str) -> HttpResponse:
    """GET asks once more; POST approves as many deletes as were shown, no others."""
    found = question(job)
    if found is None:
        messages.error(request, f"“{job}” asks nothing now.")
        return HttpResponseRedirect(page_url)
    if not job.may_be_controlled_by(request.user):
        raise PermissionDenied
    deletes = str(found["deletes"])
    if request.method == "POST" and request.POST.get("deletes") == deletes:
        try:
            services.approve_deletes(job, by=request.user)
        except CannotRun as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{approved_in_words(found['deletes'])}: it goes on.")
        return HttpResponseRedirect(page_url)
    return confirmation(
        request,
        back_url=page_url,
        title=f"Delete {', '.join(in_words(found))}?",
        text="It is more than the job may delete without asking. What is deleted in the target "
        "can be brought back from the list of changes, one by one.",
        items=[
            f"At most {job.max_deletes:,} records, and {float(job.max_deleted_percent):g} % of an "
            "entity's, go without asking."
        ],
        action=request.path,
        fields=[("deletes", deletes)],
        label=f"Approve {found['deletes']:,} delete{'' if found['deletes'] == 1 else 's'}",
    )


def approved_in_words(deletes: int) -> str:
    return f"{deletes:,} {'delete was' if deletes == 1 else 'deletes were'} approved"


# --- actions of the list ------------------------------------------------------------------

Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


def _action(way: Start) -> Action:
    def act(
        model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        chosen = list(queryset.order_by("job_name")[: verbs.MAX_AT_ONCE + 1])
        if len(chosen) > verbs.MAX_AT_ONCE:
            messages.error(
                request,
                f"Nothing was started: more than {verbs.MAX_AT_ONCE} are chosen. "
                f"Choose at most {verbs.MAX_AT_ONCE} at a time.",
            )
            return None
        for job in chosen:
            try:
                messages.success(request, _start(job, way, request.user))
            except (OperationError, PermissionDenied) as error:
                messages.error(request, str(error))
        return None

    act.__name__ = f"{way.name}_selected"
    return admin.action(description=f"{way.label}: selected %(verbose_name_plural)s")(act)


START_ACTIONS: tuple[Action, ...] = tuple(_action(each) for each in STARTS)
