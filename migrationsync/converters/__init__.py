"""Pure functions from a legacy value to a modern one, each with its type."""

from __future__ import annotations

from typing import Any

from django.db import models

from migrationsync.converters.base import ConversionError, Converter
from migrationsync.converters.identities import UUID, Binary, IPAddress
from migrationsync.converters.numbers import Boolean, Decimal, Float, Integer, Key
from migrationsync.converters.spans import Duration, Time
from migrationsync.converters.text import Choice, Email, Json, Phone, Text
from migrationsync.converters.times import Date, DateTime

__all__ = [
    "UUID",
    "Binary",
    "Boolean",
    "Choice",
    "ConversionError",
    "Converter",
    "Date",
    "DateTime",
    "Decimal",
    "Duration",
    "Email",
    "Float",
    "IPAddress",
    "Integer",
    "Json",
    "Key",
    "Phone",
    "Text",
    "Time",
    "usual",
]

# The first that the field is one of: an EmailField is a CharField too.
_USUAL: tuple[tuple[type[models.Field[Any, Any]], Converter], ...] = (
    (models.EmailField, Email()),
    (models.CharField, Text()),
    (models.TextField, Text()),
    (models.FileField, Text()),
    (models.FilePathField, Text()),
    (models.IntegerField, Integer()),
    (models.FloatField, Float()),
    (models.DecimalField, Decimal()),
    (models.BooleanField, Boolean()),
    (models.DateTimeField, DateTime()),
    (models.DateField, Date()),
    (models.TimeField, Time()),
    (models.DurationField, Duration()),
    (models.JSONField, Json()),
    (models.UUIDField, UUID()),
    (models.BinaryField, Binary()),
    (models.GenericIPAddressField, IPAddress()),
)


def usual(field: models.Field[Any, Any]) -> Converter | None:
    """The converter for a field of this type where a declaration names none."""
    return next((converter for kind, converter in _USUAL if isinstance(field, kind)), None)
