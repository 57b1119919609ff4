"""Pure functions from a legacy value to a modern one, each with its type."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from migrationsync.converters.base import ConversionError, Converter
from migrationsync.converters.fields import of_one
from migrationsync.converters.identities import UUID, Binary, IPAddress
from migrationsync.converters.lists import Array
from migrationsync.converters.numbers import Boolean, Decimal, Float, Integer, Key
from migrationsync.converters.spans import Duration, Time
from migrationsync.converters.text import Choice, Email, Json, Phone, Text
from migrationsync.converters.times import Date, DateTime

__all__ = [
    "UUID",
    "Array",
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


def usual(field: models.Field[Any, Any]) -> Converter | None:
    """The converter for a field of this type where a declaration names none."""
    return Array.of(field) if isinstance(field, ArrayField) else of_one(field)
