"""Writes a valid document as an episode. Whether it is valid is validation's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.utils import timezone

from content.documents.format import LEVELS, MAX_NAME_LENGTH, Level
from content.documents.validation import Document, name_too_long
from content.exceptions import InvalidDocument, Mistake
from content.links import Link, rewrite_links
from content.models import Episode

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_Values = list[tuple[str | None, ...]]


def write_document(document: Document, *, owner: User | None) -> Episode:
    """The new episode, committed as one transaction.

    Ids are taken from the sequences first, so that links are rewritten before the rows
    are written, once, by COPY. Raises InvalidDocument for a name that its links, with
    the ids in them, make too long for its column.
    """
    with transaction.atomic():
        ids = {level.name: _reserve_ids(level, len(document.rows[level.name])) for level in LEVELS}
        values = _with_ids_in_links(document, ids)
        episode = Episode.objects.create(title=document.title, owner=owner)
        above = [episode.pk]
        for level in LEVELS:
            _copy(level, document, values[level.name], ids=ids[level.name], parent_ids=above)
            above = ids[level.name]
    return episode


def _reserve_ids(level: Level, count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [level.model._meta.db_table, count],
        )
        return [row[0] for row in cursor]


def _with_ids_in_links(document: Document, ids: dict[str, list[int]]) -> dict[str, _Values]:
    new_keys = {
        level.name: {
            row.key: str(new_id)
            for row, new_id in zip(document.rows[level.name], ids[level.name], strict=True)
        }
        for level in LEVELS
    }

    def new_key(link: Link) -> str | None:
        return new_keys[link.level].get(link.key)

    result: dict[str, _Values] = {}
    mistakes: list[Mistake] = []
    for level in LEVELS:
        is_text = [name in level.text_fields for name in level.fields]
        limited = [index for index, name in enumerate(level.fields) if name in level.limited]
        result[level.name] = rows = [
            tuple(
                rewrite_links(value, new_key) if value and has_links else value
                for value, has_links in zip(row.values, is_text, strict=True)
            )
            for row in document.rows[level.name]
        ]
        for index, row in enumerate(rows):
            for column in limited:
                if (value := row[column]) is not None and len(value) > MAX_NAME_LENGTH:
                    path = (*document.path(level, index), level.fields[column])
                    mistakes.append(
                        Mistake(path, f"With its links' ids: {name_too_long(len(value))}")
                    )
    if mistakes:
        bound = InvalidDocument.MAX_MISTAKES
        raise InvalidDocument(mistakes[:bound], is_complete=len(mistakes) <= bound)
    return result


def _copy(
    level: Level, document: Document, values: _Values, *, ids: list[int], parent_ids: list[int]
) -> None:
    columns = ("id", f"{level.parent_field}_id", "position", "created_at", "updated_at")
    names = ", ".join((*columns, *level.fields))
    statement = f"COPY {level.model._meta.db_table} ({names}) FROM STDIN"

    def rows() -> Iterator[tuple[object, ...]]:
        now = repeat(timezone.now())
        for row, new_id, fields, at in zip(
            document.rows[level.name], ids, values, now, strict=False
        ):
            yield (new_id, parent_ids[row.parent], row.position, at, at, *fields)

    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows():
            copy.write_row(row)
