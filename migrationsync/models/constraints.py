"""What a field may hold, as the database sees to it: the same as its choices and validators say."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Func, Q
from django.db.models.lookups import Exact


class _TypeOf(Func):
    function = "jsonb_typeof"
    output_field = models.TextField()


def one_of(field: str, *values: str, name: str) -> models.CheckConstraint:
    return models.CheckConstraint(name=name, condition=Q(**{f"{field}__in": values}))


def percent(field: str, *, name: str) -> models.CheckConstraint:
    return models.CheckConstraint(name=name, condition=Q(**{f"{field}__range": (0, 100)}))


def json_of(field: str, kind: str, *, name: str) -> models.CheckConstraint:
    """`kind` as PostgreSQL calls it: object, array."""
    return models.CheckConstraint(name=name, condition=Exact(_TypeOf(F(field)), kind))
