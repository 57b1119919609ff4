"""Pure functions from a legacy value to a modern one, each with its type."""

from __future__ import annotations

from typing import Any

from django.db import models

from migrationsync.converters.base import ConversionError, Converter
from migrationsync.converters.numbers import Boolean, Decimal, Integer
from migrationsync.converters.text import Choice, Email, Json, Phone, Text
from migrationsync.converters.times import Date, DateTime

__all__ = [
    "Boolean",
    "Choice",
    "ConversionError",
    "Converter",
    "Date",
    "DateTime",
    "Decimal",
    "Email",
    "Integer",
    "Json",
    "Phone",
    "Text",
    "usual",
]

# The first that the field is one of: an EmailField is a CharField too.
_USUAL: tuple[tuple[type[models.Field[Any, Any]], Converter], ...] = (
    (models.EmailField, Email()),
    (models.CharField, Text()),
    (models.TextField, Text()),
    (models.IntegerField, Integer()),
    (models.DecimalField, Decimal()),
    (models.BooleanField, Boolean()),
    (models.DateTimeField, DateTime()),
    (models.DateField, Date()),
    (models.JSONField, Json()),
)


def usual(field: models.Field[Any, Any]) -> Converter | None:
    """The converter for a field of this type where a declaration names none."""
    return next((converter for kind, converter in _USUAL if isinstance(field, kind)), None)
