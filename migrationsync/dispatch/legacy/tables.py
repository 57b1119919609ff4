"""The legacy dispatch office's schema, for each engine.

As such schemas are: integer keys, times without a zone, yes and no in three forms, texts for
what isn't text, and no foreign keys that the database would keep.
"""

from __future__ import annotations

from dataclasses import dataclass

# What is called differently; everything else is standard SQL.
TYPES: dict[str, dict[str, str]] = {
    "postgresql": {"local": "timestamp(0)", "bit": "boolean", "long": "text"},
    "mysql": {"local": "datetime", "bit": "tinyint(1)", "long": "longtext"},
    "sqlite": {"local": "datetime", "bit": "boolean", "long": "text"},
}
_TIMES = {"created": "{local} NOT NULL", "modified": "{local} NOT NULL", "deleted": "{local}"}


@dataclass(frozen=True)
class LegacyTable:
    """`share` of a database of scale 1: how many rows it has there."""

    name: str
    share: int
    columns: dict[str, str]
    indexes: tuple[str, ...] = ("modified",)

    def rows(self, scale: float) -> int:
        return max(3, round(self.share * scale))

    def create(self, vendor: str) -> str:
        columns = ", ".join(
            f"{name} {kind.format(**TYPES[vendor])}"
            for name, kind in {"id": "integer NOT NULL PRIMARY KEY", **self.columns}.items()
        )
        charset = " DEFAULT CHARSET utf8mb4" if vendor == "mysql" else ""
        return f"CREATE TABLE {self.name} ({columns}){charset}"

    def create_indexes(self) -> list[str]:
        return [
            f"CREATE INDEX {self.name}_{column} ON {self.name} ({column})"
            for column in self.indexes
        ]


OFFICE = LegacyTable(
    "dispatch_office",
    200,
    {
        "name": "varchar(120) NOT NULL",
        "city": "varchar(80)",
        "phone": "varchar(40)",
        "rent": "decimal(10, 2)",
        "active": "char(1)",
        "opened": "date",
        **_TIMES,
    },
)
PROFILE = LegacyTable(
    "dispatch_profile",
    20_000,
    {
        "office_id": "integer",
        "full_name": "varchar(160)",
        "email": "varchar(254)",
        "role_code": "smallint",
        "prefs": "{long}",
        **_TIMES,
    },
    ("modified", "office_id"),
)
DOCTOR = LegacyTable(
    "dispatch_doctor",
    15_000,
    {
        "profile_id": "integer",
        "licence": "varchar(20)",
        "specialty": "varchar(80)",
        "fee": "decimal(10, 4)",
        "accepting": "smallint",
        **_TIMES,
    },
    ("modified", "profile_id"),
)
PATIENT = LegacyTable(
    "dispatch_patient",
    164_800,
    {
        "doctor_id": "integer",
        "full_name": "varchar(160)",
        "email": "varchar(254)",
        "phone": "varchar(40)",
        "born": "varchar(10)",
        "notes": "{long}",
        **_TIMES,
    },
    ("modified", "doctor_id"),
)
ORDER = LegacyTable(
    "dispatch_order",
    400_000,
    {
        "patient_id": "integer",
        "number": "varchar(24)",
        "state": "char(1)",
        "total": "decimal(12, 2)",
        "placed": "{local}",
        "shipped": "{local}",
        **_TIMES,
    },
    ("modified", "patient_id"),
)
PRODUCT = LegacyTable(
    "dispatch_product",
    600_000,
    {
        "order_id": "integer",
        "sku": "varchar(32)",
        "title": "varchar(160)",
        "qty": "integer",
        "price": "decimal(12, 4)",
        "gift": "{bit}",
        **_TIMES,
    },
    ("modified", "order_id"),
)

# Each behind the one that it points to.
TABLES = (OFFICE, PROFILE, DOCTOR, PATIENT, ORDER, PRODUCT)
