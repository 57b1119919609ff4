"""Models for tests that declare entities of their own. They have no tables."""

# ruff: noqa: DJ008 - nobody is shown one of them

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from migrationsync.identifiers import uuid7


class Author(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = models.CharField(max_length=20)
    motto = models.CharField(max_length=20, blank=True)
    born_on = models.DateField(null=True)
    token = models.UUIDField(null=True, unique=True)

    class Meta:
        app_label = "shelf"


class Book(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    title = models.CharField(max_length=20)
    price = models.DecimalField(max_digits=6, decimal_places=2)
    author = models.ForeignKey(Author, on_delete=models.CASCADE)
    weight = models.FloatField(null=True)

    class Meta:
        app_label = "shelf"


class Letter(models.Model):
    """It points to what isn't the key."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    author = models.ForeignKey(Author, to_field="token", on_delete=models.CASCADE)

    class Meta:
        app_label = "shelf"


class Rack(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    sizes = ArrayField(models.IntegerField())

    class Meta:
        app_label = "shelf"


class Shop(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "shelf"


class Gauge(models.Model):
    """A field of each type that the dispatch office has none of."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    level = models.FloatField(null=True)
    token = models.UUIDField(null=True)
    opens_at = models.TimeField(null=True)
    lasts = models.DurationField(null=True)
    seal = models.BinaryField(null=True, max_length=20)
    plan = models.FileField(max_length=60, blank=True)
    photo = models.ImageField(max_length=60, blank=True)
    host = models.GenericIPAddressField(null=True)
    notes = models.JSONField(null=True)
    next = models.ForeignKey("self", null=True, on_delete=models.CASCADE)

    class Meta:
        app_label = "shelf"


class Point(models.Field):
    """A field of a type that nobody knows."""


class Map(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    center = Point()

    class Meta:
        app_label = "shelf"


class Log(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    seen_at = models.DateTimeField()

    class Meta:
        app_label = "shelf"
