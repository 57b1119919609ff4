"""What a command was asked for, looked up; a mistake says what was perhaps meant."""

from __future__ import annotations

import datetime as dt
import difflib
from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import QuerySet
from django.utils import timezone

from migrationsync.entities import UnknownEntity, entities
from migrationsync.models import SynchronizationJob
from migrationsync.services import jobs as services

USAGE = 2
# What `sync diff` hangs its runs on where no job is named.
TERMINALS_JOB = "Comparisons from the terminal"
SHOWN = 10


def jobs() -> QuerySet[SynchronizationJob]:
    return SynchronizationJob.objects.select_related("latest_run").order_by("job_name")


def job_named(name: str) -> SynchronizationJob:
    """By its name, or its id. Raises CommandError."""
    job = jobs().filter(job_name=name).first()
    if job is None and (found := _uuid(name)):
        job = jobs().filter(pk=found).first()
    if job is None:
        names = list(SynchronizationJob.objects.values_list("job_name", flat=True))
        raise CommandError(
            f"There is no synchronization “{name}”. {_meant(name, sorted(names))}",
            returncode=USAGE,
        )
    return job


def entities_of(job: SynchronizationJob, names: Sequence[str] | None) -> list[str] | None:
    """None: all of them. Raises CommandError."""
    for name in names or ():
        entity_named(name)
        if name not in job.entities_to_sync:
            raise CommandError(
                f"“{job}” isn't about {name}, but about {', '.join(job.entities_to_sync)}.",
                returncode=USAGE,
            )
    return list(dict.fromkeys(names)) if names else None


def entity_named(name: str) -> str:
    """Raises CommandError."""
    try:
        return entities.get(name).name
    except UnknownEntity as error:
        raise CommandError(str(error), returncode=USAGE) from error


def terminals_job() -> SynchronizationJob:
    """The job for comparisons that no job was named for; about all entities there are.

    Raises CommandError where it can't be made.
    """
    names = [entity.name for entity in entities.in_order()]
    job = jobs().filter(job_name=TERMINALS_JOB).first()
    try:
        if job is None:
            return services.create_job(by=None, job_name=TERMINALS_JOB, entities_to_sync=names)
        if set(job.entities_to_sync) != set(names):
            return services.change_job(job, by=None, entities_to_sync=names)
    except ValidationError as error:
        # Another terminal may have made it at this moment.
        job = jobs().filter(job_name=TERMINALS_JOB).first()
        if job is None:
            raise CommandError(" ".join(error.messages)) from error
    return job


def moment(text: str) -> dt.datetime:
    """An argument's type: a date or a time; without a zone it is the installation's."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f"“{text}” is no time: write it as 2026-03-01 or 2026-03-01T12:30."
        ) from None
    return timezone.make_aware(found) if timezone.is_naive(found) else found


def number(text: str) -> int:
    """An argument's type: 0 or more."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"“{text}” is no number from 0 on.")
    return int(text)


def key(text: str) -> int | UUID:
    """An argument's type: a record's legacy id, or the UUID of one that has none."""
    found = int(text) if text.lstrip("-").isdigit() else _uuid(text)
    if found is None:
        raise ArgumentTypeError(f"“{text}” is neither a legacy id nor a UUID.")
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _meant(name: str, names: list[str]) -> str:
    # However it is spelled: “nightly” is nearest to “Nightly”.
    folded: dict[str, Any] = {each.casefold(): each for each in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    if near:
        return f"Did you mean “{folded[near[0]]}”?"
    if not names:
        return "None was made yet: make one in the admin or over the API."
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"There are: {', '.join(names[:SHOWN])}{more}."
