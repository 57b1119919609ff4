"""Two sides that differ in every way that is to be decided, compared and ready for review."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from django.db import connections
from django.urls import reverse

from migrationsync.dispatch.legacy.tables import OFFICE
from migrationsync.dispatch.models import Office
from migrationsync.models import (
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
    SynchronizationJob,
)
from tests.migrationsync.comparing.offices import NOON
from tests.migrationsync.syncing import Dispatch, sync

DIFFERENTIALS = "/admin/migrationsync/datadifferential/"
CHANGES = "/admin/migrationsync/appliedchange/"
REPORTS = "/admin/migrationsync/migrationvalidationreport/"
RESOLVE = f"{DIFFERENTIALS}resolve/"

EXTRA = "Only in the target"


def differing(dispatch: Dispatch, **fields: Any) -> SynchronizationJob:
    """Offices 1 to 6 migrated, and then: 1 changed in the source, 2 in the target, 3 in both
    (another name, another phone), 4 deleted in the source, 5 in the target; 7 is new in the
    source, and one is in the target only. 6 is alike."""
    fields.setdefault("entities_to_sync", ["offices"])
    fields.setdefault("max_deleted_percent", 100)
    fields.setdefault("job_name", "Offices every night")
    job = dispatch.job(**fields)
    dispatch.add_offices(*range(1, 7))
    sync(job, "load")
    dispatch.change(1, 3, to="Celle")
    target(2, 3).update(phone="+49421123")
    dispatch.remove(4)
    target(5).delete()
    dispatch.add_offices(7, name="Verden")
    Office.objects.create(name=EXTRA, created_at=NOON, updated_at=NOON)
    sync(job, "compare")
    return job


def target(*keys: int) -> Any:
    """The target's rows of these legacy ids."""
    mapped = LegacyIdMapping.objects.filter(entity_type="offices", legacy_id__in=keys)
    return Office.objects.filter(pk__in=mapped.values("uuid_id"))


def legacy(dispatch: Dispatch, key: int, column: str = "name") -> Any:
    with connections[dispatch.source.alias].cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {OFFICE.name} WHERE id = %s", [key])
        (value,) = cursor.fetchone()
    return value


def differential(kind: str) -> DataDifferential:
    return DataDifferential.objects.get(kind=kind, superseded_at=None)


def record(kind: str) -> DifferentialRecord:
    return DifferentialRecord.objects.get(differential__kind=kind, differential__superseded_at=None)


def page_of(found: DataDifferential) -> str:
    return reverse("admin:migrationsync_datadifferential_change", args=[found.pk])


def review_of(job: SynchronizationJob, entity: str = "offices", **query: Any) -> str:
    url = reverse("admin:migrationsync_review", args=[job.pk, entity])
    given = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{url}?{given}" if given else url


def as_read(response: Any) -> str:
    """A page's words."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.text)))
