"""Primary keys of whatever type a kind's models have, as texts from outside and as JSON."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model


def key_of(model: type[Model], text: object) -> Any | None:
    """What `text` (from a URL, a command, a request) is as a primary key of `model`; None where it
    can't be one, so that there is no such row."""
    key: Any = model._meta.pk
    try:
        return key.clean(str(text), None)
    except ValidationError:
        return None


def as_json(key: Any) -> int | str:
    """As it is sent and stored: a number as itself, any other as text. `key_of` reads it again,
    and so does a query's `pk=`."""
    return key if isinstance(key, int) else str(key)
