"""`manage.py check`: whether the declared entities are right by themselves and fit together.

Needs no database. What the source really holds is looked at before a run, by
`migrationsync.source`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import difflib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models.fields import NOT_PROVIDED

from migrationsync.columns import Family
from migrationsync.converters import Converter, usual
from migrationsync.converters.base import shortened
from migrationsync.entities.declarations import Check, Column, Entity, ForeignKey
from migrationsync.entities.registry import EntityCycle, Registry, entities

# What the tables of mappings and reports have room for.
LONGEST = {"name": 64, "source": 128}
TEXTS = ("name", "source", "script", "key", "changed_at", "deleted")

# What `null_as` has to be, by what the column's converter makes.
_KINDS: dict[Family, tuple[type, ...]] = {
    Family.TEXT: (str,),
    Family.ADDRESS: (str,),
    Family.INTEGER: (int,),
    Family.DECIMAL: (decimal.Decimal, int),
    Family.FLOAT: (float, int),
    Family.BOOLEAN: (bool,),
    Family.DATE: (dt.date,),
    Family.INSTANT: (dt.datetime,),
    Family.TIME: (dt.time,),
    Family.DURATION: (dt.timedelta,),
    Family.UUID: (uuid.UUID,),
    Family.BINARY: (bytes,),
    Family.ARRAY: (list,),
}


def check_entities(**kwargs: Any) -> list[CheckMessage]:
    return list(problems(entities))


def problems(registry: Registry) -> Iterator[CheckMessage]:
    """Everything that is wrong, in the order of declaration. Of an entity that isn't even of the
    right types, only that."""
    by_name: dict[str, Entity] = {}
    by_table: dict[str, Entity] = {}
    named = Registry(
        entity for entity in registry if _is_entity(entity) and isinstance(entity.name, str)
    )
    sound = Registry()
    for entity in registry:
        wrong = list(_types(entity))
        yield from wrong
        if wrong:
            continue
        sound.register(entity)
        if entity.name in by_name:
            yield _error(
                1,
                entity,
                f"another entity has the name “{entity.name}”: {by_name[entity.name].declared_in}.",
                "Give one of them another name.",
            )
        by_name.setdefault(entity.name, entity)
        other = by_table.setdefault(entity.target._meta.db_table, entity)
        if other is not entity:
            yield _error(
                10,
                entity,
                f"{_label(entity)} is what “{other.name}” becomes already: {other.declared_in}. "
                "Each would take the rows of the other for its own, and delete them or write "
                "them back into its own table.",
                "Give each a model of its own, or read both tables through one view.",
            )
        yield from _columns(entity, named)
        yield from _whole(entity)
    try:
        sound.in_order()
    except EntityCycle as cycle:
        yield _error(
            3,
            sound.get(cycle.names[0]),
            f"its foreign keys go in a circle: {cycle}.",
            "Leave one of these foreign keys out of its entity's columns, and fill it once both "
            "are migrated.",
        )


def _types(entity: Entity) -> Iterator[CheckMessage]:
    """What isn't of the type that everything else here, and a run, takes for granted."""
    if not _is_entity(entity):
        message = f"{_shown(entity)} is registered, and is no Entity."
        yield _error(8, entity, message, "Say register(Entity(name=“…”, …)).")
        return

    def wrong(place: str, found: object, hint: str) -> Error:
        return _error(8, entity, f"{place}: {_shown(found)} isn't what belongs there.", hint)

    for option in TEXTS:
        if not isinstance(getattr(entity, option), str):
            yield wrong(option, getattr(entity, option), f"It is a text: {option}=“…”.")
    if not _is_model(entity.target):
        yield wrong("target", entity.target, "It is a model with a table: the class, not its name.")
    columns: object = entity.columns
    if not isinstance(columns, Mapping):
        hint = "It is a dict, by the target's fields: columns={“name”: Column(“full_name”)}."
        yield wrong("columns", columns, hint)
    else:
        for name, column in columns.items():
            yield from _types_of_column(entity, name, column)
    checks: object = entity.checks
    if not isinstance(checks, Sequence) or isinstance(checks, str):
        yield wrong("checks", checks, "It is a list: checks=[Check(“…”, …)].")
    else:
        for number, check in enumerate(checks):
            is_check = isinstance(check, Check) and isinstance(check.name, str)
            if not (is_check and callable(check.holds) and isinstance(check.sql, str | None)):
                hint = "It is Check(“costs something”, lambda row: row[“price”] > 0, “price > 0”)."
                yield wrong(f"checks[{number}]", check, hint)


def _types_of_column(entity: Entity, name: object, column: object) -> Iterator[CheckMessage]:
    place = f"columns[“{name}”]"
    if not isinstance(name, str):
        yield _error(8, entity, f"{place}: the target's field is named by a text.", None)
    match column:
        case Column():
            if not isinstance(column.source, str):
                yield _error(
                    8,
                    entity,
                    f"{place}: {_shown(column.source)} is no name of a column.",
                    "Column(“source_name”, converter): the name first, or converter=….",
                )
            if not isinstance(column.converter, Converter | None):
                is_class = isinstance(column.converter, type)
                yield _error(
                    8,
                    entity,
                    f"{place}: {_shown(column.converter)} is no converter.",
                    "Make one of the class, with parentheses: Text()." if is_class else None,
                )
        case ForeignKey():
            if not (isinstance(column.entity, str) and isinstance(column.source, str)):
                yield _error(
                    8,
                    entity,
                    f"{place}: an entity and a column are named by texts.",
                    "ForeignKey(“authors”, “author_id”).",
                )
            elif column.null_as is not None and type(column.null_as) is not int:
                yield _error(
                    8,
                    entity,
                    f"{place}: null_as={_shown(column.null_as)} is no legacy key.",
                    "It is the number that the source has where there is none, such as null_as=0.",
                )
        case _:
            yield _error(
                8,
                entity,
                f"{place}: {_shown(column)} is neither a Column nor a ForeignKey.",
                "Say Column(“source_name”) or ForeignKey(“entity”, “source_name”).",
            )


def _is_entity(found: object) -> bool:
    return isinstance(found, Entity)


def _is_model(found: object) -> bool:
    return (
        isinstance(found, type)
        and issubclass(found, models.Model)
        and hasattr(found, "_meta")
        and not found._meta.abstract
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
        elif field.primary_key or field.generated:
            made_by = "is the UUID that a row is given here" if field.primary_key else "is computed"
            yield _error(
                4,
                entity,
                f"{place}: {_label(entity)}.{name} {made_by}, and can't be brought over.",
                "Leave it out. The source's key is named by key=“…”.",
            )
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
    elif not _is_model(other.target):
        pass  # which is told where it is declared
    elif not isinstance(field, models.ForeignKey) or field.related_model is not other.target:
        yield _error(
            6,
            entity,
            f"{place}: {_label(entity)}.{field.name} doesn't point to {_label(other)}, which the "
            f"entity “{other.name}” becomes.",
            "Name the entity of the model that the field points to, or another field.",
        )
    elif field.target_field is not other.target._meta.pk:
        pointed = f"{_label(other)}.{field.target_field.name}"
        yield _error(
            6,
            entity,
            f"{place}: {_label(entity)}.{field.name} points to {pointed} (to_field), not to the "
            "key, and it is the key that a row is given here.",
            "Let it point to the key (without to_field, with a migration), or leave it out of "
            f"columns and fill it from {pointed} once both are migrated.",
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
    elif lacking := [
        each for each in ("reads", "makes", "fits") if not hasattr(type(converter), each)
    ]:
        yield _error(
            7,
            entity,
            f"{place}: {type(converter).__name__} doesn't say {', '.join(lacking)}.",
            "migrationsync.converters.base tells what they are.",
        )
    elif misfit := converter.misfit(field):
        yield _error(
            7,
            entity,
            f"{place}: {type(converter).__name__} doesn't make what a {kind} takes.",
            f"It {misfit}. Take another converter, or leave it out: the field's usual one "
            "is taken then.",
        )
    elif wrong := _misdeclared(converter):
        yield _error(8, entity, f"{place}: {type(converter).__name__}: {wrong}.", None)
    elif column.null_as is not None and (wrong := _wrong_null(field, converter, column.null_as)):
        yield _error(
            8,
            entity,
            f"{place}: null_as={_shown(column.null_as)} {wrong}.",
            "It is what the target has where the source has nothing.",
        )


def _misdeclared(converter: Converter) -> str:
    try:
        return converter.misdeclared()
    except Exception as error:  # noqa: BLE001 - whatever it was given, in whoever's converter
        return f"one of its options is of the wrong type ({error})"


def _wrong_null(field: models.Field[Any, Any], converter: Converter, null_as: Any) -> str:
    """Why a field can't hold `null_as`; empty: it can."""
    kinds = _KINDS.get(converter.makes)
    # True is an int, and a datetime a date.
    is_other = (isinstance(null_as, bool) and kinds != (bool,)) or (
        isinstance(null_as, dt.datetime) and kinds != (dt.datetime,)
    )
    if kinds is not None and (is_other or not isinstance(null_as, kinds)):
        return f"is no {' or '.join(each.__name__ for each in kinds)}, which a row would have"
    if converter.makes is Family.INSTANT and null_as.tzinfo is None:
        return "is of no zone, so it is no moment"
    if converter.makes is Family.JSON:
        try:
            json.dumps(null_as, allow_nan=False)
        except (TypeError, ValueError) as error:
            return f"is no JSON: {error}"
    try:
        field.run_validators(field.to_python(null_as))
    except ValidationError as error:
        return f"isn't what the field takes: {' '.join(error.messages)}"
    return ""


def _whole(entity: Entity) -> Iterator[CheckMessage]:
    for option in ("name", "source", "key", "script"):
        if not getattr(entity, option).strip():
            yield _error(8, entity, f"its {option} is empty.", f"Say {option}=“…”.")
    for option, longest in LONGEST.items():
        if len(getattr(entity, option)) > longest:
            yield _error(
                8,
                entity,
                f"its {option} is longer than {longest} characters.",
                "The mappings keep it with each row: take a shorter one.",
            )
    if not entity.columns:
        yield _error(
            8, entity, "its columns are empty: there is nothing to bring over.", "Name some."
        )
    for number, check in enumerate(entity.checks):
        if not check.name.strip() or (check.sql is not None and not check.sql.strip()):
            yield _error(8, entity, f"checks[{number}]: its name or its SQL is empty.", None)
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


def _shown(found: object) -> str:
    """A value as a message shows it; of a class its name."""
    return f"the class {found.__name__}" if isinstance(found, type) else shortened(found)


def _label(entity: Entity) -> str:
    return entity.target.__name__


def _error(number: int, entity: Entity, message: str, hint: str | None) -> Error:
    return Error(message, hint=hint, obj=entity, id=f"migrationsync.E{number:03}")
