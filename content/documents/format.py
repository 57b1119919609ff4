"""What an episode document looks like: its levels, fields and limits, declared once."""

from __future__ import annotations

from typing import NamedTuple

from content.links import TEXT_FIELDS
from content.models import Block, Item, Node, Part
from content.tree import PARENT_FIELDS

# PostgreSQL's varchar(255) counts characters, as Python does.
MAX_NAME_LENGTH = 255
# What the API accepts in one request: about 100,000 blocks of ordinary text. A larger
# document goes through `manage.py import_episode`, on the server, where its memory is known.
MAX_UPLOAD_BYTES = 32 * 1024 * 1024


class Level(NamedTuple):
    """One level of the tree.

    `fields` are nullable strings, in the order they are written; `limited` are those
    that hold at most `MAX_NAME_LENGTH` characters; `list_name` is what the parent calls
    the list of these nodes.
    """

    name: str
    list_name: str
    model: type[Node]
    fields: tuple[str, ...]
    limited: tuple[str, ...]

    @property
    def parent_field(self) -> str:
        return PARENT_FIELDS[self.model]

    @property
    def text_fields(self) -> tuple[str, ...]:
        return TEXT_FIELDS[self.name]


LEVELS = (
    Level("part", "parts", Part, ("name",), ("name",)),
    Level("item", "items", Item, ("name",), ("name",)),
    Level(
        "block",
        "blocks",
        Block,
        ("name", "field_1", "field_2", "field_3", "media"),
        ("name", "media"),
    ),
)
