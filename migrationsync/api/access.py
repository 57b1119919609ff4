"""Who may change what: what belongs to a job goes by the job, the rest by the model's permission.
Who sees what is `migrationsync.querysets`'s."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from rest_framework.exceptions import PermissionDenied

from migrationsync.models import SynchronizationJob


def check_may_control(job: SynchronizationJob, user: Any) -> None:
    """Raises PermissionDenied."""
    if not job.may_be_controlled_by(user):
        raise PermissionDenied(
            f"“{job}” is somebody else's: only they, or somebody with the permission to change any "
            f"{job._meta.verbose_name}, can do this."
        )


def check_has(user: Any, verb: str, model: type[Model]) -> None:
    """Raises PermissionDenied with the permission that is missing."""
    meta = model._meta
    codename = f"{meta.app_label}.{verb}_{meta.model_name}"
    if not user.has_perm(codename):
        raise PermissionDenied(
            f"Ask an administrator for the permission “Can {verb} {meta.verbose_name}” "
            f"({codename})."
        )
