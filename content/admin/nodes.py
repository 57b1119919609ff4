"""The admin of each level, on one base that knows the tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as delete_selected_without_bound
from django.contrib.admin.options import ModelAdmin
from django.db.models import Field, OuterRef, Q, QuerySet
from django.forms import ModelForm, TypedChoiceField
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, strip_tags
from django.utils.text import Truncator

from content.admin.filters import (
    EpisodeFilter,
    ItemFilter,
    PartFilter,
    StatusFilter,
    node_in_request,
)
from content.admin.lists import BoundedList
from content.admin.pagination import COUNT_LIMIT, BoundedCount, bounded
from content.deletion import count_below
from content.exceptions import EpisodeClosed
from content.links import TEXT_FIELDS, as_id
from content.models import Block, Episode, Item, Node, Part
from content.services import SELECTABLE_STATUSES, delete_nodes
from content.tree import PARENT_FIELDS, TREE, ancestors, below, child_model, path_to, tree_order
from content.writing import lock_for_writing

# Confirming a deletion shows each selected row; logging it writes one entry for each.
MAX_SELECTED_FOR_DELETION = 1_000
# Children of one parent that a page sorts by position.
MAX_SORTED = 10_000
# Rows whose texts a search reads through.
MAX_SEARCHED = 50_000
# What a confirmation counts, below what is deleted, before it says "and more".
DELETION_COUNT_LIMIT = 10_000


class Crumb(NamedTuple):
    text: str
    url: str = ""


@admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
def delete_selected(
    modeladmin: NodeAdmin, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    """Django's own, which loads the selected rows, with a bound on how many."""
    limit = MAX_SELECTED_FOR_DELETION
    if queryset.order_by().values("pk")[: limit + 1].count() > limit:
        modeladmin.message_user(
            request,
            f"Nothing was deleted: more than {limit:,} rows are selected. "
            "Delete what they belong to instead, or fewer at a time.",
            messages.ERROR,
        )
        return None
    return delete_selected_without_bound(modeladmin, request, queryset)


class NodeForm(ModelForm):
    """Refuses what is in an episode that is hidden, or would be. Whoever hides one waits until
    this is saved, which is in the transaction that checks the form."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        field = PARENT_FIELDS.get(type(self.instance))
        if field is None:
            self._lock(None, type(self.instance), self.instance.pk)
            return cleaned
        parent_model = self._meta.model._meta.get_field(field).related_model
        moved_to = self.cleaned_data.get(field)
        parents = {getattr(self.instance, f"{field}_id"), moved_to and moved_to.pk}
        for parent_id in sorted(parents - {None}):
            self._lock(field, parent_model, parent_id)
        return cleaned

    def _lock(self, field: str | None, model: type[Node], id: int | None) -> None:
        if id is None:
            return
        try:
            lock_for_writing(model, id)
        except EpisodeClosed as error:
            self.add_error(field, str(error))


class NodeAdmin(BoundedList, ModelAdmin):
    """Lists by id, or by position within a parent; a search that an index can serve."""

    form = NodeForm
    actions = [delete_selected]
    list_per_page = 100
    readonly_fields: ClassVar[tuple[str, ...]] = ("children", "orig_id", "created_at", "updated_at")
    sortable_by: ClassVar[tuple[str, ...]] = ()
    search_help_text = (
        "An id finds its row. Words are looked for in lists of one episode, part or item: "
        "open such a list from its own page first."
    )

    # --- reading -------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        child = child_model(self.model)
        if child is not None:
            children = child._default_manager.filter(**{PARENT_FIELDS[child]: OuterRef("pk")})
            counted = children.order_by().values("pk")[: COUNT_LIMIT + 1]
            queryset = queryset.annotate(child_count=BoundedCount(counted))
        return self.without_copies_in_the_making(queryset)

    def without_copies_in_the_making(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # Few and mostly none: asked for first, so that the usual list needs no join.
        copying = list(
            Episode.objects.filter(status__in=Episode.HIDDEN).values_list("pk", flat=True)
        )
        if not copying:
            return queryset
        return queryset.exclude(**{f"{path_to(self.model, Episode)}__in": copying})

    def count_order(self, request: HttpRequest) -> tuple[str, ...]:
        return tree_order(self.model) if self.is_below_a_node(request) else ()

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """By id; below a node by parent; below a parent as they are shown.

        Beyond a bound, a parent's children come by id too: no index has their positions.
        """
        if not self.is_below_a_node(request):
            return ("id",)
        parent_id = as_id(request.GET.get(PARENT_FIELDS[self.model], ""))
        if parent_id is not None:
            rows = self.model._default_manager.order_by(*tree_order(self.model))
            children = below(rows, TREE[TREE.index(self.model) - 1], parent_id)
            if children.values("pk")[: MAX_SORTED + 1].count() <= MAX_SORTED:
                return ("position", "id")
        return tree_order(self.model)

    def is_below_a_node(self, request: HttpRequest) -> bool:
        return any(above._meta.model_name in request.GET for above in self.levels_above)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        found = Q(pk=as_id(search_term) or 0)
        if self.is_below_a_node(request):
            for field in TEXT_FIELDS[str(self.opts.model_name)]:
                found |= Q(**{f"{field}__icontains": search_term})
            queryset = self.first_to_search(request, queryset)
        return queryset.filter(found), False

    def first_to_search(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """As many rows as a page may read through; whoever asked is told of the rest."""
        parent, _ = order = tree_order(self.model)
        rows = queryset.order_by(*order).values_list(*order)
        last = next(iter(rows[MAX_SEARCHED : MAX_SEARCHED + 1]), None)
        if last is None:
            return queryset
        self.message_user(
            request,
            f"Only the first {MAX_SEARCHED:,} {self.opts.verbose_name_plural} of this list were "
            "searched. Search in the list of one part or item to reach others.",
            messages.WARNING,
        )
        return queryset.filter(
            Q(**{f"{parent}__lt": last[0]}) | Q(**{parent: last[0]}, id__lt=last[1])
        )

    @property
    def levels_above(self) -> tuple[type[Node], ...]:
        return TREE[: TREE.index(self.model)]

    # --- the trail of breadcrumbs --------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        trail = [Crumb(str(self.opts.verbose_name_plural).capitalize())]
        for above in reversed(self.levels_above):
            if (node := node_in_request(request, above)) is not None:
                trail = [*self.trail_of(node), *trail]
                break
        return super().changelist_view(request, {"trail": trail, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj: Node | None = kwargs.get("obj")
        if obj is not None:
            *above, own = self.trail_of(obj)
            context["trail"] = [*above, Crumb(own.text)]
        return super().render_change_form(request, context, *args, **kwargs)

    def trail_of(self, node: Node) -> list[Crumb]:
        crumbs = [Crumb("Episodes", reverse("admin:content_episode_changelist"))]
        for each in (*ancestors(node), node):
            url = reverse(f"admin:content_{each._meta.model_name}_change", args=[each.pk])
            crumbs.append(Crumb(Truncator(str(each)).chars(40), url))
        return crumbs

    # --- columns -------------------------------------------------------------

    @admin.display(description="contents")
    def children(self, node: Any) -> str:
        child = child_model(self.model)
        if child is None or node.pk is None:
            return "-"
        return format_html(
            '<a href="{}?{}={}">{} ({}) →</a>',
            reverse(f"admin:content_{child._meta.model_name}_changelist"),
            self.opts.model_name,
            node.pk,
            str(child._meta.verbose_name_plural).capitalize(),
            bounded(node.child_count),
        )

    @admin.display(description="in")
    def parent(self, node: Any) -> str:
        parent = getattr(node, PARENT_FIELDS[self.model])
        url = reverse(f"admin:content_{parent._meta.model_name}_change", args=[parent.pk])
        return format_html('<a href="{}">{}</a>', url, Truncator(str(parent)).chars(60))

    # --- deleting ------------------------------------------------------------

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[str], list[str]]:
        """What the confirmation shows, from bounded counts: Django's own walks the tree."""
        selected = list(objs)
        limit = DELETION_COUNT_LIMIT
        below_them = count_below(self.model, [node.pk for node in selected], limit=limit)
        counts: dict[Any, Any] = {self.opts.verbose_name_plural: len(selected)}
        lacking = set()
        for model, count in below_them.items():
            if count:
                counts[model._meta.verbose_name_plural] = bounded(count, limit)
                if not request.user.has_perm(f"content.delete_{model._meta.model_name}"):
                    lacking.add(str(model._meta.verbose_name))
        return [str(node) for node in selected], counts, lacking, []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_nodes(model=self.model, ids=[obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        delete_nodes(model=self.model, ids=list(queryset.values_list("pk", flat=True)))


@admin.register(Episode)
class EpisodeAdmin(NodeAdmin):
    list_display = (
        "title",
        "owner",
        "type",
        "status",
        "children",
        "generation_status",
        "updated_at",
    )
    list_filter = (StatusFilter, "type", "generation_status", "created_at")
    list_select_related = ("owner",)
    autocomplete_fields = ("owner",)
    search_fields = ("title",)
    search_help_text = "Words of the title, or an id."
    sortable_by = ("title", "updated_at")
    fields = (
        "title",
        "owner",
        "type",
        "status",
        "children",
        "audio_url",
        "generation_status",
        "generation_progress",
        "generation_error",
        "orig_id",
        "created_at",
        "updated_at",
    )
    readonly_fields = (
        *NodeAdmin.readonly_fields,
        "audio_url",
        "generation_status",
        "generation_progress",
        "generation_error",
    )

    def without_copies_in_the_making(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(status__in=Episode.HIDDEN)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        found = Q(title__icontains=search_term) | Q(pk=as_id(search_term) or 0)
        return queryset.filter(found), False

    def formfield_for_choice_field(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> TypedChoiceField | None:
        if db_field.name == "status":
            kwargs["choices"] = SELECTABLE_STATUSES
        return super().formfield_for_choice_field(db_field, request, **kwargs)


@admin.register(Part)
class PartAdmin(NodeAdmin):
    list_display = ("__str__", "id", "position", "parent", "children", "updated_at")
    list_filter = (EpisodeFilter,)
    list_select_related = ("episode",)
    raw_id_fields = ("episode",)
    search_fields = ("name",)


@admin.register(Item)
class ItemAdmin(NodeAdmin):
    list_display = ("__str__", "id", "position", "parent", "children", "updated_at")
    list_filter = (EpisodeFilter, PartFilter)
    list_select_related = ("part__episode",)
    raw_id_fields = ("part",)
    search_fields = ("name",)


@admin.register(Block)
class BlockAdmin(NodeAdmin):
    list_display = ("__str__", "id", "position", "field_1", "text", "media", "parent")
    list_filter = (EpisodeFilter, PartFilter, ItemFilter)
    list_select_related = ("item__part__episode",)
    raw_id_fields = ("item",)
    search_fields = ("name", "field_1", "field_2", "field_3")
    readonly_fields = ("orig_id", "created_at", "updated_at")

    @admin.display(description="text")
    def text(self, block: Block) -> str:
        # The cut comes first: a text may be megabytes.
        return Truncator(strip_tags((block.field_2 or "")[:1000])).chars(100)
