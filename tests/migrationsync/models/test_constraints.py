"""What the database itself refuses, whoever writes to it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
    MigrationCheckpoint,
    MigrationValidationReport,
    SynchronizationJob,
    SynchronizationRun,
)
from tests.factories.sync import (
    CheckpointFactory,
    DifferentialFactory,
    JobFactory,
    MappingFactory,
    RunFactory,
)
from tests.migrationsync.models.test_validation import make_report

FACTORIES = {
    AppliedChange: lambda: AppliedChange.objects.create(entity_type="offices", side="target"),
    DataDifferential: DifferentialFactory,
    DifferentialRecord: lambda: DifferentialFactory().records.get(),
    LegacyIdMapping: MappingFactory,
    MigrationCheckpoint: CheckpointFactory,
    MigrationValidationReport: make_report,
    SynchronizationJob: JobFactory,
    SynchronizationRun: RunFactory,
}
# The kernel's own, of every kind of operation.
OF_THE_KERNEL = {"requested"}
CHOSEN = [
    pytest.param(model, field, id=f"{model.__name__}.{field.name}")
    for model in FACTORIES
    for field in model._meta.concrete_fields
    if field.choices and field.name not in OF_THE_KERNEL
]

pytestmark = pytest.mark.django_db


def refused(row, **values) -> str:
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        type(row).objects.filter(pk=row.pk).update(**values)
    return error.value.__cause__.diag.constraint_name


def allowed(model, field) -> set[str]:
    """By the constraint on the field's values."""
    conditions = [
        child
        for constraint in model._meta.constraints
        if isinstance(getattr(constraint, "condition", None), models.Q)
        for child in constraint.condition.children
    ]
    [values] = [
        set(values) for name, values in filter(_is_pair, conditions) if name == f"{field.name}__in"
    ]
    return values


def _is_pair(condition) -> bool:
    return isinstance(condition, tuple)


@pytest.mark.parametrize(("model", "field"), CHOSEN)
def test_a_value_that_is_no_choice_is_refused_and_every_choice_is_allowed(model, field):
    refused(FACTORIES[model](), **{field.name: "nonsense"})
    blank = {""} if field.blank else set()
    assert allowed(model, field) == {value for value, _ in field.flatchoices} | blank


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (SynchronizationJob, "max_failed_percent", 101),
        (SynchronizationJob, "max_deleted_percent", -1),
        (SynchronizationJob, "schedule_config", []),
        (SynchronizationJob, "entities_to_sync", {"offices": True}),
        (SynchronizationJob, "metadata", "mine"),
        (DataDifferential, "comparison_criteria", []),
        (MigrationValidationReport, "discrepancy_details", {}),
        (LegacyIdMapping, "metadata", []),
    ],
)
def test_what_a_field_may_not_hold_is_refused(model, name, value):
    row = FACTORIES[model]()
    field = model._meta.get_field(name)
    json_value = models.Value(value, models.JSONField())
    refused(row, **{name: json_value if isinstance(field, models.JSONField) else value})


def test_a_checkpoint_that_was_never_started_isnt_completed():
    row = CheckpointFactory(started_at=None)
    found = refused(row, completed_at=timezone.now() + timedelta(days=1))
    assert found == "migration_checkpoints_completed_after_start"


def test_a_failed_checkpoint_says_why_in_more_than_blanks():
    row = CheckpointFactory()
    assert (
        refused(row, status="failed", error_message=" ") == "migration_checkpoints_failed_says_why"
    )
