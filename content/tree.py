"""How the levels of the content tree hang together, and ways up and down it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Max, Min, QuerySet

from content.models import Block, Episode, Item, Node, Part

TREE: tuple[type[Node], ...] = (Episode, Part, Item, Block)
PARENT_FIELDS: dict[type[Node], str] = {Part: "episode", Item: "part", Block: "item"}


def child_model(model: type[Node]) -> type[Node] | None:
    depth = TREE.index(model)
    return TREE[depth + 1] if depth + 1 < len(TREE) else None


def path_to(model: type[Node], ancestor: type[Node]) -> str:
    """How a query on `model` names its `ancestor`: `item__part__episode`."""
    steps = TREE[TREE.index(ancestor) + 1 : TREE.index(model) + 1]
    return "__".join(PARENT_FIELDS[step] for step in reversed(steps))


def descendants(model: type[Node], ancestor: type[Node], ids: Collection[int]) -> QuerySet[Any]:
    """The rows of `model` below the rows `ids` of `ancestor`."""
    return model._default_manager.filter(**{f"{path_to(model, ancestor)}__in": ids})


def below(queryset: QuerySet[Any], ancestor: type[Node], node_id: int) -> QuerySet[Any]:
    """The rows below one node, so told that the index on (parent, id) serves `tree_order`.

    The parents' range of ids says nothing new, but it is what the planner can start from:
    with an equality alone it takes the rows for spread evenly over the table, and walks
    the primary key until it meets the first of them.
    """
    parent = PARENT_FIELDS[queryset.model]
    parents = queryset.model._meta.get_field(parent).related_model
    if parents is ancestor:
        return queryset.filter(**_range(parent, node_id, node_id))
    among = descendants(parents, ancestor, [node_id]).aggregate(first=Min("id"), last=Max("id"))
    if among["first"] is None:
        return queryset.none()
    return queryset.filter(
        **{path_to(queryset.model, ancestor): node_id},
        **_range(parent, among["first"], among["last"]),
    )


def _range(field: str, first: int, last: int) -> dict[str, int]:
    return {f"{field}__gte": first, f"{field}__lte": last}


def tree_order(model: type[Node]) -> tuple[str, str]:
    """The order of the index on (parent, id)."""
    return f"{PARENT_FIELDS[model]}_id", "id"


def ancestors(node: Node) -> list[Node]:
    """From the episode down to the node's parent; empty for an episode.

    Costs nothing where the caller selected `path_to(type(node), Episode)` along.
    """
    found: list[Node] = []
    while (field := PARENT_FIELDS.get(type(node))) is not None:
        node = getattr(node, field)
        found.append(node)
    return found[::-1]


def episode_of(node: Node) -> Episode:
    """At the same cost as `ancestors`."""
    while not isinstance(node, Episode):
        node = getattr(node, PARENT_FIELDS[type(node)])
    return node
