"""A dispatch office's data in its modern shape: what the six legacy tables become.

Office > Profile > Doctor > Patient > Order > Product. It is the worked example of a
migration; the engine knows nothing of it.
"""

from __future__ import annotations

from django.db import models

from migrationsync.identifiers import uuid7


class Record(models.Model):
    """What every table carries: a key in the order of time, and the source's own times."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        abstract = True


class Office(Record):
    name = models.CharField(max_length=120)
    city = models.CharField(max_length=80, blank=True, default="")
    phone = models.CharField(max_length=16, blank=True, default="")
    monthly_rent = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    is_active = models.BooleanField(default=True)
    opened_on = models.DateField(null=True, blank=True)

    class Meta:
        db_table = "offices"

    def __str__(self) -> str:
        return self.name


class Profile(Record):
    class Role(models.TextChoices):
        DOCTOR = "doctor", "Doctor"
        NURSE = "nurse", "Nurse"
        CLERK = "clerk", "Clerk"

    office = models.ForeignKey(Office, on_delete=models.CASCADE, related_name="profiles")
    name = models.CharField(max_length=160)
    email = models.EmailField(blank=True, default="")
    role = models.CharField(max_length=16, choices=Role.choices)
    preferences = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "profiles"

    def __str__(self) -> str:
        return self.name


class Doctor(Record):
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="doctors")
    licence = models.CharField(max_length=20, unique=True)
    specialty = models.CharField(max_length=80, blank=True, default="")
    hourly_fee = models.DecimalField(max_digits=8, decimal_places=2)
    takes_patients = models.BooleanField(default=False)

    class Meta:
        db_table = "doctors"

    def __str__(self) -> str:
        return self.licence


class Patient(Record):
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="patients")
    name = models.CharField(max_length=160)
    email = models.EmailField(blank=True, default="")
    phone = models.CharField(max_length=16, blank=True, default="")
    born_on = models.DateField(null=True, blank=True)
    notes = models.TextField(blank=True, default="")

    class Meta:
        db_table = "patients"

    def __str__(self) -> str:
        return self.name


class Order(Record):
    class Status(models.TextChoices):
        NEW = "new", "New"
        PAID = "paid", "Paid"
        SHIPPED = "shipped", "Shipped"
        CANCELLED = "cancelled", "Cancelled"

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="orders")
    number = models.CharField(max_length=24)
    status = models.CharField(max_length=16, choices=Status.choices)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    placed_at = models.DateTimeField()
    shipped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "orders"

    def __str__(self) -> str:
        return self.number


class Product(Record):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="products")
    sku = models.CharField(max_length=32)
    name = models.CharField(max_length=160)
    quantity = models.PositiveIntegerField(default=1)
    unit_price = models.DecimalField(max_digits=12, decimal_places=4)
    is_gift = models.BooleanField(default=False)

    class Meta:
        db_table = "products"

    def __str__(self) -> str:
        return self.name
