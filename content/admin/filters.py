"""List filters that never enumerate a level of the tree."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from content.links import as_id
from content.models import Episode, Item, Node, Part
from content.services import SELECTABLE_STATUSES
from content.tree import below, path_to


def node_in_request(request: HttpRequest, model: type[Node]) -> Node | None:
    """The node that the query string names as `?item=ID`, if there is one."""
    node_id = as_id(request.GET.get(str(model._meta.model_name), ""))
    if node_id is None:
        return None
    above = path_to(model, Episode)
    nodes = model._default_manager.select_related(above) if above else model._default_manager
    return nodes.filter(pk=node_id).first()


class ParentFilter(admin.SimpleListFilter):
    """Only what is below one node. Shown while it is in effect, to be taken off.

    It is put on by following a link from the node: a choice of all nodes would be as
    long as the level.
    """

    model: ClassVar[type[Node]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        given = self.value()
        if given is None:
            return []
        node = node_in_request(request, self.model)
        return [(given, str(node) if node else f"{given} (there is none)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        node_id = as_id(value)
        if node_id is None:
            return queryset.none()
        return below(queryset, self.model, node_id)


class EpisodeFilter(ParentFilter):
    model = Episode
    title = "episode"
    parameter_name = "episode"


class PartFilter(ParentFilter):
    model = Part
    title = "part"
    parameter_name = "part"


class ItemFilter(ParentFilter):
    model = Item
    title = "item"
    parameter_name = "item"


class StatusFilter(admin.SimpleListFilter):
    """Without the status of copies in the making, which no list shows."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return SELECTABLE_STATUSES

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() else queryset
