"""The row as both sides had it when they were last made alike, in the id mapping's own form.

That form is the line of COPY's text format that the row came over as: it is there anyway, costs
no conversion, and is read again only where somebody looks at one record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models

from migrationsync import arrays
from migrationsync.entities import Entity

# A checksum, and the tabs before and behind it.
_CHECKSUM = 34
_NULL = "\\N"
_UNESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def field_of(line: str) -> str:
    """What a staged line (key, checksum, values) says of the values, as one field of a line."""
    values = line[line.index("\t") + _CHECKSUM : -1]
    if "\\" in values:
        values = values.replace("\\", "\\\\")
    return values.replace("\t", "\\t")


def values(entity: Entity, last_synced: str) -> Mapping[str, Any] | None:
    """By the target's fields; foreign keys are legacy keys. None where nobody kept it, or where
    the declaration has had other columns since."""
    texts = last_synced.split("\t") if last_synced else []
    if len(texts) != len(entity.columns):
        return None
    return {
        name: _value(entity, name, text) for name, text in zip(entity.columns, texts, strict=True)
    }


def _value(entity: Entity, name: str, text: str) -> Any:
    if text == _NULL:
        return None
    text = _ESCAPE.sub(lambda found: _UNESCAPED.get(found[1], found[1]), text)
    field = entity.target._meta.get_field(name)
    if name in entity.foreign_keys:
        return int(text)
    if isinstance(field, models.BinaryField):
        return bytes.fromhex(text.removeprefix("\\x"))
    if isinstance(field, models.BooleanField):
        return text == "t"
    if isinstance(field, models.JSONField):
        return json.loads(text)
    if isinstance(field, ArrayField):
        # From its own JSON, item by item.
        text = json.dumps(arrays.read(text))
    try:
        return field.to_python(text) if isinstance(field, models.Field) else text
    except ValidationError:
        return text  # what Python has no value for: infinity
