"""What the migration keeps. Names are the original data model's."""

from migrationsync.models.changes import AppliedChange, SourceWrite
from migrationsync.models.checkpoints import MigrationCheckpoint
from migrationsync.models.differentials import DataDifferential, DifferentialRecord
from migrationsync.models.jobs import SynchronizationJob, SynchronizationRun
from migrationsync.models.mappings import LegacyIdMapping, QuarantinedRow
from migrationsync.models.validation import MigrationValidationReport

__all__ = [
    "AppliedChange",
    "DataDifferential",
    "DifferentialRecord",
    "LegacyIdMapping",
    "MigrationCheckpoint",
    "MigrationValidationReport",
    "QuarantinedRow",
    "SourceWrite",
    "SynchronizationJob",
    "SynchronizationRun",
]
