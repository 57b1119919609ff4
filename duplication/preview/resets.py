"""What a copy doesn't take over from its original, in words, from the tree's declaration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import models

from content.models import Episode
from duplication.levels import NOW, TREE, Level
from duplication.services import TITLE_SUFFIX

# What the declaration's expressions stand for. Others are literals, or are told as they are.
_WORDS = {
    NOW: "the time of the copy",
    "%(title)s": f"the one you give, else the original's with “{TITLE_SUFFIX}” after it",
    f"'{Episode.Status.COPYING.value}'": f"{Episode.Status.DRAFT.label}, once it is verified",
    "NULL": "none",
    "''": "none",
}


@dataclass(frozen=True)
class Reset:
    """`levels` are the stages at which `field` becomes `value` on the copy."""

    field: str
    value: str
    levels: tuple[str, ...]


def resets(tree: tuple[Level, ...] = TREE, *, owner: str = "you") -> tuple[Reset, ...]:
    """In the order of the declaration; the same thing at several levels is told once. `owner`
    is who the copy will belong to, in a word."""
    words = {**_WORDS, "%(owner_id)s": owner}
    levels: dict[tuple[str, str], list[str]] = {}
    for level in tree:
        for column, expression in level.reset.items():
            field = _field(level, column)
            told = (str(field.verbose_name), _value(field, expression, words))
            levels.setdefault(told, []).append(level.stage)
    return tuple(Reset(field, value, tuple(at)) for (field, value), at in levels.items())


def _field(level: Level, column: str) -> models.Field:
    return next(field for field in level.model._meta.concrete_fields if field.column == column)


def _value(field: models.Field, expression: str, words: Mapping[str, str]) -> str:
    if expression in words:
        return words[expression]
    literal = expression.strip("'")
    return str(dict(field.flatchoices).get(literal, literal))
