"""Validating an entity: one validation behind the other, each a walk in segments that ends in
its report.

A validation that finds something wrong is completed: the report says what is wrong, and the run
goes on.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, NamedTuple

from django.conf import settings
from django.utils import timezone

from migrationsync.comparing import Cursor
from migrationsync.models import MigrationCheckpoint, MigrationValidationReport
from migrationsync.validating import VALIDATIONS, Tally, Validation
from migrationsync.works.base import Beginning, EntityWork, failed
from operations.work import Step


class _Place(NamedTuple):
    """What the cursor says: which validation, where in it, and what it came to so far."""

    type: str
    at: Cursor | None
    tally: Tally


class _Read(NamedTuple):
    validation: Validation
    rows: Any
    seconds: float


class ValidateEntity(EntityWork):
    """The validations of `run.options["types"]`; all, where it names none."""

    def __init__(self) -> None:
        super().__init__()
        self._validations: dict[str, Validation] = {}

    def close(self) -> None:
        for each in self._validations.values():
            each.close()

    def begin(self, checkpoint: MigrationCheckpoint) -> Beginning:
        records = super().begin(checkpoint).total
        return Beginning(records * len(wanted(checkpoint)))

    def read(self, checkpoint: MigrationCheckpoint, size: int) -> _Read:
        began = time.monotonic()
        place = _place(checkpoint)
        validation = self._validation(checkpoint, place.type)
        rows = validation.read(place.at, size)
        return _Read(validation, rows, time.monotonic() - began)

    def write(self, checkpoint: MigrationCheckpoint, size: int, batch: _Read) -> Step:
        began = time.monotonic()
        place = _place(checkpoint)
        looked = batch.validation.look(batch.rows)
        tally = place.tally.plus(looked, batch.seconds + time.monotonic() - began)
        notes = []
        following: _Place | None = place._replace(at=looked.cursor, tally=tally)
        if looked.cursor is None:
            report = store(checkpoint, batch.validation, tally)
            notes = [{"stage": checkpoint.stage, "message": f"{report}."}]
            following = _behind(checkpoint, place.type)
        return Step(
            cursor=_as_json(following) if following else None,
            finished=following is None,
            rows=looked.records,
            done=looked.records,
            counts={
                "validated": looked.records,
                "discrepancies": sum(each.count for each in looked.wrong),
            },
            notes=notes,
        )

    def _validation(self, checkpoint: MigrationCheckpoint, type_: str) -> Validation:
        if type_ not in self._validations:
            self._validations[type_] = VALIDATIONS[type_](
                self.entity(checkpoint), self.source(checkpoint), self.table(checkpoint)
            )
        return self._validations[type_]


def wanted(checkpoint: MigrationCheckpoint) -> list[str]:
    """The types of the validations to be made, in their order. Raises WorkFailed."""
    named = checkpoint.run.options.get("types") or list(VALIDATIONS)
    unknown = [each for each in named if each not in VALIDATIONS]
    if unknown:
        raise failed(
            "unknown_validation",
            f"There is no validation “{unknown[0]}”: there are {', '.join(VALIDATIONS)}.",
        )
    return [each for each in VALIDATIONS if each in named]


def store(
    checkpoint: MigrationCheckpoint, validation: Validation, tally: Tally
) -> MigrationValidationReport:
    """Keeps the report of an ended validation, in the caller's transaction. A run has one of
    each validation of an entity: a second one isn't kept."""
    now = timezone.now()
    report = MigrationValidationReport(
        run=checkpoint.run,
        entity_type=validation.entity.name,
        validation_type=validation.type,
        source_entity=validation.entity.source,
        target_entity=validation.entity.target._meta.db_table,
        records_validated=tally.records,
        validation_passed=not tally.wrong,
        discrepancies_found=tally.discrepancies,
        discrepancy_details=tally.details,
        validation_criteria=validation.criteria,
        execution_time_ms=max(1, round(tally.seconds * 1000)),
        generated_at=now,
        expires_at=now + dt.timedelta(hours=settings.SYNC_REPORT_EXPIRES_HOURS),
        metadata={"figures": tally.figures, **tally.measured},
    )
    MigrationValidationReport.objects.bulk_create([report], ignore_conflicts=True)
    return report


def _place(checkpoint: MigrationCheckpoint) -> _Place:
    if checkpoint.cursor is None:
        return _Place(wanted(checkpoint)[0], None, Tally())
    kept = dict(checkpoint.cursor)
    type_, tally = kept.pop("type"), Tally.from_json(kept.pop("tally"))
    return _Place(type_, kept or None, tally)


def _behind(checkpoint: MigrationCheckpoint, type_: str) -> _Place | None:
    types = wanted(checkpoint)
    following = types[types.index(type_) + 1 :]
    return _Place(following[0], None, Tally()) if following else None


def _as_json(place: _Place) -> dict[str, Any]:
    return {**(place.at or {}), "type": place.type, "tally": place.tally.as_json()}
