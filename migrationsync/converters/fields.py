"""The usual converter for each of Django's fields that holds one value."""

from __future__ import annotations

from typing import Any

from django.db import models

from migrationsync.converters.base import Converter
from migrationsync.converters.identities import UUID, Binary, IPAddress
from migrationsync.converters.numbers import Boolean, Decimal, Float, Integer
from migrationsync.converters.spans import Duration, Time
from migrationsync.converters.text import Email, Json, Text
from migrationsync.converters.times import Date, DateTime

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


def of_one(field: models.Field[Any, Any]) -> Converter | None:
    return next((converter for kind, converter in _USUAL if isinstance(field, kind)), None)
