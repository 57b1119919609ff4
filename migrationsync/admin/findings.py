"""What the lists and pages of differentials, changes and reports share.

They are what runs leave behind: looked at, never edited. Who sees what is
`migrationsync.querysets`'s.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from content.admin.lists import ReadOnlyAdmin
from migrationsync.entities import entities
from migrationsync.models import SynchronizationJob, SynchronizationRun
from migrationsync.querysets import own_or_all, sees_all
from operations.stages import label

# Eighteen digits always fit a bigint.
_LEGACY_ID = re.compile(r"0|-?[1-9][0-9]{0,17}")
DECIDE = "migrationsync.change_synchronizationjob"
MAKE_JOBS = "migrationsync.add_synchronizationjob"


class FindingAdmin(ReadOnlyAdmin):
    """Base. Who may see the model sees all of it; who may make jobs what theirs left behind."""

    change_list_template = "admin/migrationsync/finding_list.html"

    class Media:
        css = {"all": ["migrationsync/review.css"]}

    # --- what a model says -------------------------------------------------------------

    def empty_text(self) -> str:
        """What the list says when there is nothing to show."""
        raise NotImplementedError

    # --- who may what --------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None:
            return self.get_queryset(request).filter(pk=obj.pk).exists()
        return self.sees_all(request) or request.user.has_perm(MAKE_JOBS)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def sees_all(self, request: HttpRequest) -> bool:
        return sees_all(request.user, str(self.opts.model_name))

    def jobs(self, request: HttpRequest) -> QuerySet[SynchronizationJob]:
        """The jobs whose findings this user sees. Raises PermissionDenied where those of none."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return own_or_all(
            SynchronizationJob.objects.all(),
            request.user,
            model_name=str(self.opts.model_name),
            owners=["requested_by"],
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return cast("Any", super().get_queryset(request)).visible_to(request.user)

    # --- the list --------------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        context = {
            "title": label(str(self.opts.verbose_name_plural)),
            "empty_text": self.empty_text(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    # --- the page --------------------------------------------------------------------------

    def page(self, request: HttpRequest, **context: Any) -> dict[str, Any]:
        """What every page's template takes, with `context`."""
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "list_url": reverse(f"admin:{self.url_prefix}_changelist"),
            "list_title": label(str(self.opts.verbose_name_plural)),
            **context,
        }

    def find(self, request: HttpRequest, key: str) -> Any:
        """The row; or, where there is none to be seen, the way back to the list with a message."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_queryset(request).filter(pk=as_uuid(key)).first()
        if found is None:
            messages.warning(
                request,
                f"There is no {self.opts.verbose_name} “{key}”, or it isn't yours to see.",
            )
            return HttpResponseRedirect(reverse(f"admin:{self.url_prefix}_changelist"))
        return found

    @property
    def url_prefix(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"


# --- filters -----------------------------------------------------------------------------


class EntityFilter(admin.SimpleListFilter):
    """The declared entities, and one that the address names though it is declared no more: a look
    through all rows for those that occur would take as long as the table is."""

    title = "entity"
    parameter_name = "entity"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        given = self.value()
        names = dict.fromkeys([*(each.name for each in entities), *([given] if given else [])])
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(entity_type=self.value()) if self.value() else queryset


class GivenFilter(admin.SimpleListFilter):
    """Base. Only what belongs to one row, `field` of the list's. Shown while it is in effect, to
    be taken off; it is put on by following a link."""

    model: type[Model]
    field: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        given = self.value()
        if not given:
            return []
        found = self.model._default_manager.filter(pk=as_uuid(given)).first()
        return [(given, str(found or "One that isn't there"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        given = self.value()
        if not given:
            return queryset
        key = as_uuid(given)
        return queryset.filter(**{self.field: key}) if key else queryset.none()


class RunFilter(GivenFilter):
    title = "run"
    parameter_name = "run"
    model = SynchronizationRun
    field = "run"


def as_legacy_id(text: str) -> int | None:
    """As a legacy table may have them: 0 and below too."""
    return int(text) if _LEGACY_ID.fullmatch(text) else None


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# --- words and links --------------------------------------------------------------------------


def joined(names: Iterable[str]) -> str:
    """“a”, “a and b”, “a, b and c”."""
    *others, last = list(names)
    return f"{', '.join(others)} and {last}" if others else last


def job_url(job_id: object) -> str:
    return reverse("admin:migrationsync_synchronizationjob_change", args=[job_id])


def look_up_url(text: object) -> str:
    """Where the mapping of a legacy id or a UUID is looked up."""
    return f"{reverse('admin:migrationsync_legacyidmapping_changelist')}?q={text}"


def run_link(run: SynchronizationRun) -> SafeString:
    """Of a run whose job was read with it."""
    return format_html('<a href="{}">{}</a>', job_url(run.job_id), run)
