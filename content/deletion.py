"""Deletes subtrees without loading them, and says beforehand how large they are."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from content.models import Node
from content.tree import TREE, descendants

_ROWS_PER_STATEMENT = 20_000


def delete_subtrees(model: type[Node], ids: Collection[int]) -> None:
    """Delete the rows `ids` of `model` and everything below them, as one transaction.

    One transaction, because half a tree must never be seen. From the bottom up, some
    20,000 rows a statement. The rows `ids` themselves go through Django's own deletion,
    which knows what other apps keep about them. Ids that are gone already are passed over.
    """
    with transaction.atomic():
        for below in reversed(TREE[TREE.index(model) + 1 :]):
            _delete(descendants(below, model, ids))
        model._default_manager.filter(pk__in=ids).delete()


def count_below(model: type[Node], ids: Collection[int], *, limit: int) -> dict[type[Node], int]:
    """How many rows of each lower level there are below, counted up to `limit` + 1."""
    return {
        below: descendants(below, model, ids).order_by().values("pk")[: limit + 1].count()
        for below in TREE[TREE.index(model) + 1 :]
    }


def _delete(rows: QuerySet[Any]) -> None:
    # The cursor sees the rows as they were when it was opened: one pass over them, where
    # a repeated "DELETE … LIMIT" would step over all it deleted before.
    statement = f"DELETE FROM {rows.model._meta.db_table} WHERE id = ANY(%s)"  # noqa: S608 - a model's
    found = rows.order_by().values_list("pk", flat=True).iterator(chunk_size=_ROWS_PER_STATEMENT)
    with connection.cursor() as cursor:
        while ids := list(islice(found, _ROWS_PER_STATEMENT)):
            cursor.execute(statement, [ids])
