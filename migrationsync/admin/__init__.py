"""Synchronizations in the admin: keeping and watching them, deciding what differs, the
quarantine, the id mappings, what was changed and what was reported.

What changes something goes through `migrationsync.services`.
"""

from migrationsync.admin.changes import ChangeAdmin
from migrationsync.admin.differentials import DifferentialAdmin
from migrationsync.admin.jobs import SynchronizationJobAdmin
from migrationsync.admin.mappings import LegacyIdMappingAdmin
from migrationsync.admin.quarantine import QuarantinedRowAdmin
from migrationsync.admin.reports import ReportAdmin

__all__ = [
    "ChangeAdmin",
    "DifferentialAdmin",
    "LegacyIdMappingAdmin",
    "QuarantinedRowAdmin",
    "ReportAdmin",
    "SynchronizationJobAdmin",
]
