"""Reads an episode's tree as a document, a piece at a time.

Rows pass through server-side cursors in the order they are shown; what stays in memory
is a batch of them and one key per node that a link points to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from json.encoder import encode_basestring
from typing import Any, cast

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from content.documents.format import LEVELS, Level
from content.exceptions import EpisodeChanged
from content.links import LINK_MARK, Link, as_id, linked_ids, rewrite_links
from content.models import Episode
from content.tree import descendants, path_to

_ROWS_PER_FETCH = 2000
_PIECE_CHARACTERS = 64 * 1024

_Row = tuple[Any, ...]  # id, parent's id, and the fields that were asked for
_Keys = dict[str, dict[int, str]]  # by level and id


def export_episode(episode: Episode) -> Generator[str]:
    """The document of `episode`, as pieces of readable JSON text.

    Keys follow from the order of the nodes (`p1`, `p1.i2`, `p1.i2.b3`), so equal trees
    give equal documents. A link to a node outside the tree, or to none, stays as it is
    in the database.

    All pieces are of one moment: unless the caller has a transaction open already, the
    tree is read in one of its own, REPEATABLE READ and read-only, which lasts until the
    last piece is taken or the generator is closed.
    """
    with _snapshot():
        keys = _keys_of_link_targets(episode)
        with _open(episode, lambda level: level.fields) as tree:
            yield from _in_pieces(_document(episode, tree, keys))


@contextlib.contextmanager
def _snapshot() -> Iterator[None]:
    is_own = not connection.in_atomic_block
    with transaction.atomic():
        if is_own:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


# --- reading -----------------------------------------------------------------


class _Siblings:
    """The rows of one level in document order, handed out parent by parent."""

    def __init__(self, rows: Iterator[_Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, parent_id: int) -> Iterator[_Row]:
        while (row := self._next) is not None and row[1] == parent_id:
            self._next = next(self._rows, None)
            yield row

    @property
    def is_exhausted(self) -> bool:
        return self._next is None


@contextlib.contextmanager
def _open(
    episode: Episode, fields: Callable[[Level], tuple[str, ...]]
) -> Iterator[tuple[_Siblings, ...]]:
    """The tree's levels, each with its own cursor; all are closed at the end."""
    with contextlib.ExitStack() as stack:
        tree = []
        for level in LEVELS:
            rows = cast(
                "Generator[_Row]",
                _nodes(episode, level)
                .order_by(*_document_order(level))
                .values_list("id", f"{level.parent_field}_id", *fields(level))
                .iterator(chunk_size=_ROWS_PER_FETCH),
            )
            stack.enter_context(contextlib.closing(rows))
            tree.append(_Siblings(rows))
        yield tuple(tree)
        # The levels are read side by side: a row that moved between two of the queries
        # would drop out without a trace.
        if not all(siblings.is_exhausted for siblings in tree):
            raise EpisodeChanged(
                f"Episode {episode.pk} was changed while it was exported: export it again."
            )


def _nodes(episode: Episode, level: Level) -> QuerySet[Any]:
    return descendants(level.model, Episode, [episode.pk])


def _document_order(level: Level) -> list[str]:
    """By position, then id, at each level from the top."""
    above = [f"{path_to(level.model, upper.model)}__" for upper in LEVELS[: LEVELS.index(level)]]
    return [f"{prefix}{field}" for prefix in (*above, "") for field in ("position", "id")]


# --- links -------------------------------------------------------------------


def _keys_of_link_targets(episode: Episode) -> _Keys:
    targets = _link_targets(episode)
    keys: _Keys = {level.name: {} for level in LEVELS}
    if not any(targets.values()):
        return keys
    with _open(episode, lambda _: ()) as tree:
        for level, node_id, key in _numbered(tree, 0, episode.pk, ""):
            if node_id in targets[level]:
                keys[level][node_id] = key
    return keys


def _link_targets(episode: Episode) -> dict[str, set[int]]:
    targets: dict[str, set[int]] = {level.name: set() for level in LEVELS}
    for level in LEVELS:
        has_link = Q()
        for name in level.text_fields:
            has_link |= Q(**{f"{name}__contains": LINK_MARK})
        texts = _nodes(episode, level).filter(has_link).values_list(*level.text_fields)
        for row in texts.order_by().iterator(chunk_size=_ROWS_PER_FETCH):
            for text in filter(None, row):
                for target_level, target_id in linked_ids(text):
                    targets[target_level].add(target_id)
    return targets


def _numbered(
    tree: tuple[_Siblings, ...], depth: int, parent_id: int, parent_key: str
) -> Iterator[tuple[str, int, str]]:
    level = LEVELS[depth]
    for number, (node_id, *_) in enumerate(tree[depth].of(parent_id), 1):
        key = _key(level, parent_key, number)
        yield level.name, node_id, key
        if depth + 1 < len(LEVELS):
            yield from _numbered(tree, depth + 1, node_id, key)


def _key(level: Level, parent_key: str, number: int) -> str:
    own = f"{level.name[0]}{number}"
    return f"{parent_key}.{own}" if parent_key else own


# --- writing -----------------------------------------------------------------
# The text is what json.dumps(document, indent=1, ensure_ascii=False) would give for the
# whole document at once, with a newline at the end.


def _document(episode: Episode, tree: tuple[_Siblings, ...], keys: _Keys) -> Iterator[str]:
    yield f'{{\n "title": {encode_basestring(episode.title)},\n "{LEVELS[0].list_name}": '
    yield from _list(tree, 0, episode.pk, "", keys)
    yield "\n}\n"


def _list(
    tree: tuple[_Siblings, ...], depth: int, parent_id: int, parent_key: str, keys: _Keys
) -> Iterator[str]:
    level = LEVELS[depth]
    below = LEVELS[depth + 1] if depth + 1 < len(LEVELS) else None
    outer = " " * (2 * depth + 1)
    brace = f"{outer} "
    inner = f"{outer}  "

    def new_key(link: Link) -> str | None:
        target = as_id(link.key)
        return None if target is None else keys[link.level].get(target)

    is_empty = True
    for number, (node_id, _, *values) in enumerate(tree[depth].of(parent_id), 1):
        key = _key(level, parent_key, number)
        lines = [f'{inner}"key": "{key}"']
        for name, value in zip(level.fields, values, strict=True):
            if value is None:
                lines.append(f'{inner}"{name}": null')
            else:
                if name in level.text_fields:
                    value = rewrite_links(value, new_key)
                lines.append(f'{inner}"{name}": {encode_basestring(value)}')
        fields = ",\n".join(lines)
        yield f"{'[' if is_empty else ','}\n{brace}{{\n{fields}"
        is_empty = False
        if below:
            yield f',\n{inner}"{below.list_name}": '
            yield from _list(tree, depth + 1, node_id, key, keys)
        yield f"\n{brace}}}"
    yield "[]" if is_empty else f"\n{outer}]"


def _in_pieces(texts: Iterator[str]) -> Iterator[str]:
    """Joined to pieces that are worth a write each."""
    pending: list[str] = []
    size = 0
    for text in texts:
        pending.append(text)
        size += len(text)
        if size >= _PIECE_CHARACTERS:
            yield "".join(pending)
            pending, size = [], 0
    yield "".join(pending)
