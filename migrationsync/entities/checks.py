"""`manage.py check`: whether the declared entities are right by themselves and fit together.

Needs no database. What the source really holds is looked at before a run, by
`migrationsync.source`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields import NOT_PROVIDED

from migrationsync.converters import usual
from migrationsync.entities.declarations import Column, Entity, ForeignKey
from migrationsync.entities.registry import EntityCycle, Registry, entities


def check_entities(**kwargs: Any) -> list[CheckMessage]:
    return list(problems(entities))


def problems(registry: Registry) -> Iterator[CheckMessage]:
    """Everything that is wrong, in the order of declaration."""
    first: dict[str, Entity] = {}
    for entity in registry:
        if entity.name in first:
            yield _error(
                1,
                entity,
                f"another entity has the name “{entity.name}”: {first[entity.name].declared_in}.",
                "Give one of them another name.",
            )
        first.setdefault(entity.name, entity)
        yield from _columns(entity, registry)
        yield from _whole(entity)
    try:
        registry.in_order()
    except EntityCycle as cycle:
        yield _error(
            3,
            registry.get(cycle.names[0]),
            f"its foreign keys go in a circle: {cycle}.",
            "Leave one of these foreign keys out of its entity's columns, and fill it once both "
            "are migrated.",
        )


def _columns(entity: Entity, registry: Registry) -> Iterator[CheckMessage]:
    for name, column in entity.columns.items():
        place = f"columns[“{name}”]"
        try:
            field = entity.target._meta.get_field(name)
        except FieldDoesNotExist:
            field = None
        if not isinstance(field, models.Field):
            fields = [each.name for each in entity.target._meta.concrete_fields]
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"Did you mean “{near[0]}”?" if near else f"It has {', '.join(fields)}."
            yield _error(4, entity, f"{place}: {_label(entity)} has no field of that name.", hint)
        elif isinstance(column, ForeignKey):
            yield from _foreign_key(entity, place, field, column, registry)
        else:
            yield from _column(entity, place, field, column)


def _foreign_key(
    entity: Entity,
    place: str,
    field: models.Field[Any, Any],
    column: ForeignKey,
    registry: Registry,
) -> Iterator[CheckMessage]:
    other = next((each for each in registry if each.name == column.entity), None)
    if other is None:
        yield _error(
            2,
            entity,
            f"{place}: there is no entity “{column.entity}”.",
            registry.meant(column.entity),
        )
    elif not isinstance(field, models.ForeignKey) or field.related_model is not other.target:
        yield _error(
            6,
            entity,
            f"{place}: {_label(entity)}.{field.name} doesn't point to {_label(other)}, which the "
            f"entity “{other.name}” becomes.",
            "Name the entity of the model that the field points to, or another field.",
        )


def _column(
    entity: Entity, place: str, field: models.Field[Any, Any], column: Column
) -> Iterator[CheckMessage]:
    if field.is_relation:
        yield _error(
            6,
            entity,
            f"{place}: {_label(entity)}.{field.name} points to other rows, but is declared as a "
            "plain column.",
            f"Say which entity's: ForeignKey(“…”, “{column.source or field.name}”).",
        )
        return
    kind = type(field).__name__
    converter = column.converter or usual(field)
    if converter is None:
        yield _error(
            7,
            entity,
            f"{place}: there is no usual converter for a {kind}.",
            "Name one: Column(“…”, converter); migrationsync.converters.base tells how to write "
            "one.",
        )
    elif not isinstance(field, converter.fits):
        fits = " or ".join(each.__name__ for each in converter.fits)
        yield _error(
            7,
            entity,
            f"{place}: {type(converter).__name__} doesn't make what a {kind} takes.",
            f"It is for {fits}. Take another converter, or leave it out: the field's usual one "
            "is taken then.",
        )
    elif wrong := converter.misdeclared():
        yield _error(8, entity, f"{place}: {type(converter).__name__}: {wrong}.", None)


def _whole(entity: Entity) -> Iterator[CheckMessage]:
    for option in ("name", "source", "key", "script"):
        if not getattr(entity, option).strip():
            yield _error(8, entity, f"its {option} is empty.", f"Say {option}=“…”.")
    key = entity.target._meta.pk
    if not isinstance(key, models.UUIDField):
        yield _error(
            9,
            entity,
            f"the primary key of {_label(entity)} is no UUIDField.",
            "Migrated rows get UUIDs in the order of time: id = models.UUIDField("
            "primary_key=True, default=uuid7, editable=False).",
        )
    for field in entity.target._meta.concrete_fields:
        if field is key or field.name in entity.columns:
            continue
        is_filled = (
            field.null
            or field.default is not NOT_PROVIDED
            or field.db_default is not NOT_PROVIDED
            or field.generated
            or getattr(field, "auto_now", False)
            or getattr(field, "auto_now_add", False)
            or (field.blank and field.empty_strings_allowed and not field.is_relation)
        )
        if not is_filled:
            yield _error(
                5,
                entity,
                f"{_label(entity)}.{field.name} is required, and nothing fills it.",
                f"Add “{field.name}” to columns, or give the field a default.",
            )


def _label(entity: Entity) -> str:
    return entity.target.__name__


def _error(number: int, entity: Entity, message: str, hint: str | None) -> Error:
    return Error(message, hint=hint, obj=entity, id=f"migrationsync.E{number:03}")
