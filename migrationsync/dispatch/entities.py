"""The six tables of the dispatch office: where each comes from, and how."""

from __future__ import annotations

from migrationsync.converters import Boolean, Choice, DateTime, Decimal, Phone
from migrationsync.dispatch.models import Doctor, Office, Order, Patient, Product, Profile
from migrationsync.entities import Check, Column, Entity, ForeignKey, register

# The legacy system wrote down what the clock on its wall showed.
LOCAL = DateTime(zone="Europe/Berlin", rounded=True)
PHONE = Phone(country="49")
TIMES = {"created_at": Column("created", LOCAL), "updated_at": Column("modified", LOCAL)}

register(
    Entity(
        name="offices",
        source="dispatch_office",
        target=Office,
        script="office-migration.ts",
        changed_at="modified",
        deleted="deleted",
        columns={
            "name": Column(),
            "city": Column(),
            "phone": Column("phone", PHONE),
            "monthly_rent": Column("rent"),
            "is_active": Column("active", Boolean(yes="Y", no="N"), null_as=True),
            "opened_on": Column("opened"),
            **TIMES,
        },
    )
)
register(
    Entity(
        name="profiles",
        source="dispatch_profile",
        target=Profile,
        script="profile-migration.ts",
        changed_at="modified",
        deleted="deleted",
        columns={
            "office": ForeignKey("offices", "office_id"),
            "name": Column("full_name"),
            "email": Column(),
            "role": Column("role_code", Choice({1: "doctor", 2: "nurse", 3: "clerk"})),
            "preferences": Column("prefs"),
            **TIMES,
        },
    )
)
register(
    Entity(
        name="doctors",
        source="dispatch_doctor",
        target=Doctor,
        script="doctor-migration.ts",
        changed_at="modified",
        deleted="deleted",
        columns={
            "profile": ForeignKey("profiles", "profile_id"),
            "licence": Column(),
            "specialty": Column(),
            "hourly_fee": Column("fee", Decimal(rounded=True)),
            "takes_patients": Column("accepting", null_as=False),
            **TIMES,
        },
    )
)
register(
    Entity(
        name="patients",
        source="dispatch_patient",
        target=Patient,
        script="patient-migration.ts",
        changed_at="modified",
        deleted="deleted",
        columns={
            "doctor": ForeignKey("doctors", "doctor_id"),
            "name": Column("full_name"),
            "email": Column(),
            "phone": Column("phone", PHONE),
            "born_on": Column("born"),
            "notes": Column(),
            **TIMES,
        },
    )
)
register(
    Entity(
        name="orders",
        source="dispatch_order",
        target=Order,
        script="order-migration.ts",
        changed_at="modified",
        deleted="deleted",
        columns={
            "patient": ForeignKey("patients", "patient_id"),
            "number": Column(),
            "status": Column(
                "state", Choice({"N": "new", "P": "paid", "S": "shipped", "X": "cancelled"})
            ),
            "total": Column(),
            "placed_at": Column("placed", LOCAL),
            "shipped_at": Column("shipped", LOCAL),
            **TIMES,
        },
        checks=[
            Check(
                "was placed before it was shipped",
                lambda row: row["shipped_at"] is None or row["placed_at"] <= row["shipped_at"],
                "shipped_at IS NULL OR placed_at <= shipped_at",
            )
        ],
    )
)
register(
    Entity(
        name="products",
        source="dispatch_product",
        target=Product,
        script="product-migration.ts",
        changed_at="modified",
        deleted="deleted",
        columns={
            "order": ForeignKey("orders", "order_id"),
            "sku": Column(),
            "name": Column("title"),
            "quantity": Column("qty", null_as=1),
            "unit_price": Column("price"),
            "is_gift": Column("gift", null_as=False),
            **TIMES,
        },
    )
)
