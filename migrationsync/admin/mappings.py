"""The look-up in the id mapping: which row is which, from either side.

There is no list: with a million rows it answers no question. One field takes what somebody has
at hand, and each answer is found by a unique index.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from content.admin.lists import ReadOnlyAdmin
from migrationsync import last_synced, lookup
from migrationsync.admin.findings import as_legacy_id, as_uuid
from migrationsync.admin.showing import Shown, raw_rows
from migrationsync.entities import Entity, UnknownEntity, entities
from migrationsync.models import AppliedChange, LegacyIdMapping, QuarantinedRow

MAX_TEXT = 100
CHANGES_SHOWN = 10
# “offices 17”, “offices: 17”, “offices/17”, “17”.
_WANTED = re.compile(r"(?:(?P<entity>[\w-]*[a-zA-Z_][\w-]*)[\s:/#]+)?(?P<key>[0-9a-fA-F{}-]+)")


class Wanted(NamedTuple):
    """`entity` is empty where all of them are meant; one of the two keys is there."""

    entity: str
    legacy_id: int | None
    uuid: uuid.UUID | None


class Answer(NamedTuple):
    """`target_url` leads to the target's row, where there is a page for it."""

    mapping: LegacyIdMapping
    entity: Entity | None
    target_url: str
    synced: list[tuple[str, Shown]] | None
    changes: list[AppliedChange]


@admin.register(LegacyIdMapping)
class LegacyIdMappingAdmin(ReadOnlyAdmin):
    actions = None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.GET.get("q", "").strip()[:MAX_TEXT]
        wanted = parse(text)
        refusal = ""
        if text and wanted is None:
            refusal = (
                f"“{text}” is neither a legacy id nor a UUID, with or without the name of an "
                "entity before it."
            )
        elif wanted is not None and wanted.entity:
            try:
                entities.get(wanted.entity)
            except UnknownEntity as error:
                refusal, wanted = str(error), None
        mappings = find(wanted) if wanted else []
        cache = lookup.statistics()
        context = {
            **self.admin_site.each_context(request),
            "title": "Id mappings",
            "opts": self.opts,
            "q": text,
            "refusal": refusal,
            "answers": [_answer(request, each) for each in mappings],
            "quarantined": _quarantined(wanted) if wanted and not mappings else [],
            "is_answered": wanted is not None,
            "example": next(iter(entities), None),
            "cache": cache,
            "cache_asked": cache["hits"] + cache["misses"],
            "cache_percent": f"{cache['hit_rate'] * 100:.0f}",
            **(extra_context or {}),
        }
        return TemplateResponse(
            request, "admin/migrationsync/legacyidmapping/look_up.html", context
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What leads to one mapping leads to its answer."""
        mapping = self.get_object(request, object_id)
        if mapping is None or not self.has_view_permission(request, mapping):
            return super().change_view(request, object_id, form_url, extra_context)
        url = reverse("admin:migrationsync_legacyidmapping_changelist")
        query = urlencode({"q": f"{mapping.entity_type} {mapping.legacy_id}"})
        return HttpResponseRedirect(f"{url}?{query}")


def parse(text: str) -> Wanted | None:
    """What somebody asks for; None where it is nothing that can be asked for."""
    found = _WANTED.fullmatch(text)
    if found is None:
        return None
    name = (found["entity"] or "").lower()
    if (number := as_legacy_id(found["key"])) is not None:
        return Wanted(name, number, None)
    if (key := as_uuid(found["key"])) is not None:
        return Wanted(name, None, key)
    return None


def find(wanted: Wanted) -> list[LegacyIdMapping]:
    """At most one of each entity, in the entities' order of dependency."""
    names = [wanted.entity] if wanted.entity else [each.name for each in entities.in_order()]
    found = {each.entity_type: each for each in _by_key(names, wanted)}
    return [found[name] for name in names if name in found]


def _by_key(names: list[str], wanted: Wanted) -> QuerySet[LegacyIdMapping]:
    mappings = LegacyIdMapping.objects.filter(entity_type__in=names).order_by()
    key: dict[str, Any] = {"uuid_id": wanted.uuid}
    if wanted.legacy_id is not None:
        key = {"legacy_id": wanted.legacy_id}
    return mappings.filter(**key)


def _answer(request: HttpRequest, mapping: LegacyIdMapping) -> Answer:
    try:
        entity = entities.get(mapping.entity_type)
    except UnknownEntity:
        entity = None
    synced: Mapping[str, Any] | None = None
    if entity is not None:
        synced = last_synced.values(entity, mapping.last_synced)
    changes = AppliedChange.objects.filter(
        entity_type=mapping.entity_type, legacy_id=mapping.legacy_id
    ).select_related("applied_by", "undone_by")
    return Answer(
        mapping,
        entity,
        _target_url(request, entity, mapping) if entity else "",
        raw_rows(synced) if synced is not None else None,
        list(changes.order_by("-id")[:CHANGES_SHOWN]),
    )


def _target_url(request: HttpRequest, entity: Entity, mapping: LegacyIdMapping) -> str:
    """Empty where the target has no page, its row isn't there, or may not be seen."""
    if not admin.site.is_registered(entity.target):
        return ""
    if not admin.site.get_model_admin(entity.target).has_view_permission(request):
        return ""
    if not entity.target._base_manager.filter(pk=mapping.uuid_id).exists():
        return ""
    meta = entity.target._meta
    try:
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[mapping.uuid_id])
    except NoReverseMatch:
        return ""


def _quarantined(wanted: Wanted) -> list[QuarantinedRow]:
    """Why a legacy row may have no mapping."""
    if wanted.legacy_id is None:
        return []
    names = [wanted.entity] if wanted.entity else [each.name for each in entities]
    rows = QuarantinedRow.objects.filter(
        entity_type__in=names, legacy_id=wanted.legacy_id, resolved_at=None
    )
    return list(rows.order_by("entity_type"))
