"""Whether a parsed value is an episode document, and the rows it means.

Finds every mistake (up to a bound) before anything is written. Doesn't touch the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from content.documents.format import LEVELS, MAX_NAME_LENGTH, Level
from content.exceptions import InvalidDocument, Mistake, PathStep
from content.links import LINK_MARK, Link, is_key, rewrite_links, unknown_links

Path = tuple[PathStep, ...]


class Row(NamedTuple):
    """A node. `parent` is its parent's index among the rows of the level above.

    `values` follow the level's `fields`; links in them still name keys.
    """

    parent: int
    position: int
    key: str
    values: tuple[str | None, ...]


class Document(NamedTuple):
    """A valid document: every level's rows in the order they are written."""

    title: str
    rows: Mapping[str, list[Row]]

    def path(self, level: Level, index: int) -> Path:
        """Where the document holds this row."""
        row = self.rows[level.name][index]
        depth = LEVELS.index(level)
        above = self.path(LEVELS[depth - 1], row.parent) if depth else ()
        return (*above, level.list_name, row.position)


def validate_document(value: object) -> Document:
    """The rows that `value` (parsed JSON) means. Raises InvalidDocument with all mistakes."""
    return _Validation().run(value)


def name_too_long(length: int) -> str:
    return f"Expected at most {MAX_NAME_LENGTH} characters, not {length}."


class _Validation:
    """One walk over one value. Each method adds the mistakes of what it looks at."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self.rows: dict[str, list[Row]] = {level.name: [] for level in LEVELS}
        self.indexes: dict[str, dict[str, int]] = {level.name: {} for level in LEVELS}
        self.texts_with_links: list[tuple[Path, str]] = []

    def run(self, value: object) -> Document:
        found = self.members((), value, required=("title", "parts"))
        if found is None:
            raise InvalidDocument(self.mistakes)
        title = self.title(found["title"]) if "title" in found else ""
        self.nodes(0, 0, ("parts",), found.get("parts", []))
        for path, text in self.texts_with_links:
            for link in unknown_links(text, self.is_known):
                self.mistake(
                    path, f'Link to {link}: the document has no {link.level} "{link.key}".'
                )
        if self.mistakes:
            raise InvalidDocument(self.mistakes)
        return Document(title, self.rows)

    def mistake(self, path: Path, message: str) -> None:
        self.mistakes.append(Mistake(path, message))
        if len(self.mistakes) == InvalidDocument.MAX_MISTAKES:
            raise InvalidDocument(self.mistakes, is_complete=False)

    def is_known(self, link: Link) -> bool:
        return link.key in self.indexes[link.level]

    def members(
        self,
        path: Path,
        value: object,
        *,
        required: tuple[str, ...],
        optional: tuple[str, ...] = (),
    ) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            self.mistake(path, f"Expected an object, not {_kind(value)}.")
            return None
        for name in getattr(value, "repeated", ()):
            self.mistake((*path, name), "Given more than once in the same object.")
        for name in required:
            if name not in value:
                self.mistake(path, f'"{name}" is missing.')
        allowed = (*required, *optional)
        for name in value:
            if name not in allowed:
                self.mistake(
                    (*path, name), f"Unknown field. Expected one of: {', '.join(allowed)}."
                )
        return value

    def title(self, value: object) -> str:
        path: Path = ("title",)
        title = self.string(path, value)
        if title is None:
            return ""
        if not title.strip():
            self.mistake(path, "Expected a title, not an empty one.")
        elif len(title) > MAX_NAME_LENGTH:
            self.mistake(path, name_too_long(len(title)))
        return title

    def nodes(self, depth: int, parent: int, path: Path, value: object) -> None:
        if not isinstance(value, list):
            self.mistake(path, f"Expected a list of {path[-1]}, not {_kind(value)}.")
            return
        for position, node in enumerate(value):
            self.node(depth, parent, position, (*path, position), node)

    def node(self, depth: int, parent: int, position: int, path: Path, value: object) -> None:
        level = LEVELS[depth]
        below = LEVELS[depth + 1] if depth + 1 < len(LEVELS) else None
        required = ("key", below.list_name) if below else ("key",)
        found = self.members(path, value, required=required, optional=level.fields)
        if found is None:
            return
        rows = self.rows[level.name]
        index = len(rows)
        key = self.key(level, index, path, found["key"]) if "key" in found else ""
        values = tuple(self.field(level, name, path, found.get(name)) for name in level.fields)
        rows.append(Row(parent, position, key, values))
        if below and below.list_name in found:
            list_path = (*path, below.list_name)
            self.nodes(depth + 1, index, list_path, found[below.list_name])

    def key(self, level: Level, index: int, path: Path, value: object) -> str:
        path = (*path, "key")
        key = self.string(path, value)
        if key is None:
            return ""
        if not is_key(key):
            self.mistake(path, "Expected a key of letters (a-z, A-Z), digits, and any of . _ ~ -")
        elif len(key) > MAX_NAME_LENGTH:
            self.mistake(path, name_too_long(len(key)))
        elif self.indexes[level.name].setdefault(key, index) != index:
            first = Document("", self.rows).path(level, self.indexes[level.name][key])
            self.mistake(
                path,
                f'"{key}" is the key of another {level.name} already, at '
                f"{Mistake(first, '').json_path}.",
            )
        return key

    def field(self, level: Level, name: str, path: Path, value: object) -> str | None:
        if value is None:
            return None
        path = (*path, name)
        text = self.string(path, value, nullable=True)
        if text is None:
            return None
        has_links = name in level.text_fields and LINK_MARK in text
        if has_links:
            self.texts_with_links.append((path, text))
        if name in level.limited and len(text) > MAX_NAME_LENGTH:
            # A link takes its final length with the target's id: here, the shortest there is.
            shortest = rewrite_links(text, lambda _: "0") if has_links else text
            if len(shortest) > MAX_NAME_LENGTH:
                self.mistake(path, name_too_long(len(shortest)))
        return text

    def string(self, path: Path, value: object, *, nullable: bool = False) -> str | None:
        if not isinstance(value, str):
            expected = "a string or null" if nullable else "a string"
            self.mistake(path, f"Expected {expected}, not {_kind(value)}.")
            return None
        if "\0" in value:
            self.mistake(path, "Holds the character U+0000, which can't be stored.")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            self.mistake(
                path,
                f"Holds half a surrogate pair (U+{ord(value[error.start]):04X}), "
                "which is not a character.",
            )
        return value


def _kind(value: object) -> str:
    """What a JSON value is called in JSON's own words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
    return type(value).__name__
