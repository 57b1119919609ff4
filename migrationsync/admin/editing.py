"""The pages on which a synchronization is added, changed and deleted."""

from __future__ import annotations

import copy
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from migrationsync import schedules
from migrationsync.admin.forms import JobForm
from migrationsync.admin.words import missing_parents_in_words, schedule
from migrationsync.entities import entities
from migrationsync.exceptions import CannotRun
from migrationsync.models import SynchronizationJob
from migrationsync.services import jobs as services
from operations.pages import confirmation

TEMPLATE = "admin/migrationsync/synchronizationjob/form.html"


def why_not_now(job: SynchronizationJob) -> str:
    """Why the job can't be changed or deleted at the moment; empty: it can."""
    run = job.latest_run
    if run is None or not run.is_open:
        return ""
    return (
        f"Run {run.number} ({run.get_purpose_display().lower()}) isn't over: wait for its end, or "
        "cancel it."
    )


def form_page(
    model_admin: Any, request: HttpRequest, job: SynchronizationJob | None = None
) -> HttpResponse:
    """GET shows the form, of a new job or of `job`; POST saves it and leads to the job's page."""
    refusal = why_not_now(job) if job else ""
    # The form writes into what it is given, also where it is refused.
    form = JobForm(request.POST or None, instance=copy.copy(job) or SynchronizationJob())
    if request.method == "POST":
        if refusal:
            messages.error(request, f"Nothing was changed. {refusal}")
        elif form.is_valid():
            saved = _save(request, form, job)
            if saved is not None:
                _tell(request, saved, is_new=job is None)
                return HttpResponseRedirect(model_admin.page_url(saved))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"Change {job}" if job else "Add a synchronization",
        "opts": model_admin.opts,
        "list_url": model_admin.list_url(),
        "list_title": "Synchronizations",
        "job": job,
        "back_url": model_admin.page_url(job) if job else model_admin.list_url(),
        "form": form,
        "media": form.media,
        "refusal": refusal,
        "has_entities": any(entities),
        "entity_rows": form.entity_rows(),
        "preview": form.preview(),
    }
    return TemplateResponse(request, TEMPLATE, context)


def _save(
    request: HttpRequest, form: JobForm, job: SynchronizationJob | None
) -> SynchronizationJob | None:
    """None where it is refused: the form says why."""
    try:
        if job is None:
            return services.create_job(by=request.user, **form.asked)
        return services.change_job(job, by=request.user, **form.asked)
    except ValidationError as error:
        form.refuse(error)
    except CannotRun as error:
        form.add_error(None, str(error))
    return None


def _tell(request: HttpRequest, job: SynchronizationJob, *, is_new: bool) -> None:
    told = f"“{job}” was {'added' if is_new else 'changed'}. {schedule(job)}."
    if job.recurs:
        following = ", ".join(f"{each:%a %-d %b %H:%M}" for each in schedules.next_runs(job))
        told += f" The next runs: {following}."
    messages.success(request, told)
    for warning in missing_parents_in_words(job.entities_to_sync):
        messages.warning(request, warning)


def delete_page(model_admin: Any, request: HttpRequest, job: SynchronizationJob) -> HttpResponse:
    """GET asks, POST deletes the job and leads to the list."""
    page_url = model_admin.page_url(job)
    if refusal := why_not_now(job):
        messages.error(request, f"“{job}” can't be deleted now. {refusal}")
        return HttpResponseRedirect(page_url)
    if request.method == "POST":
        try:
            services.delete_job(job, by=request.user)
        except (CannotRun, PermissionDenied) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(page_url)
        messages.success(request, f"“{job}” was deleted, with its schedule.")
        return HttpResponseRedirect(model_admin.list_url())
    return confirmation(
        request,
        back_url=page_url,
        title=f"Delete {job}?",
        text="Its schedule, its runs and what they found and reported go with it. What it "
        "brought over stays, with the id mappings and the quarantine.",
        action=request.path,
        fields=(),
        label="Delete it",
    )
