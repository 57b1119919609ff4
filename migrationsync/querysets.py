"""Reads over what runs leave behind: whose it is to see, and what of it is still to be decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Q, QuerySet

from migrationsync.differences import Kind

if TYPE_CHECKING:
    from migrationsync.models import (  # noqa: F401 - named in strings below
        AppliedChange,
        DataDifferential,
        DifferentialRecord,
        MigrationValidationReport,
    )

RowT = TypeVar("RowT", bound=models.Model)
# What couldn't be done may be tried again, or in another way.
UNDECIDED = ("open", "failed")


def sees_all(user: Any, model_name: str) -> bool:
    """Whether everybody's are this user's to see, and not only those of their own jobs."""
    return bool(user.has_perm(f"migrationsync.view_{model_name}"))


def own_or_all(
    rows: QuerySet[RowT], user: Any, *, model_name: str, owners: Iterable[str]
) -> QuerySet[RowT]:
    """The one rule of who sees what: with the model's view permission all, else those of one's
    own jobs. `owners` are the ways from a row to who its job belongs to."""
    if not user.is_authenticated:
        return rows.none()
    if sees_all(user, model_name):
        return rows
    own = Q()
    for owner in owners:
        own |= Q(**{owner: user})
    return rows.filter(own)


class FindingQuerySet(models.QuerySet[RowT]):
    """Base: rows that belong to a job. `jobs` are the ways to it, one of which leads there;
    `seen_as` is the model whose view permission counts, where it isn't the row's own."""

    jobs: ClassVar[tuple[str, ...]]
    seen_as: ClassVar[str] = ""

    def visible_to(self, user: Any) -> Self:
        name = self.seen_as or str(self.model._meta.model_name)
        owners = [f"{job}__requested_by" for job in self.jobs]
        return own_or_all(self, user, model_name=name, owners=owners)  # type: ignore[return-value]


class ReportQuerySet(FindingQuerySet["MigrationValidationReport"]):
    jobs = ("run__job",)


class ChangeQuerySet(FindingQuerySet["AppliedChange"]):
    # Of its run, or of the record that was decided: see AppliedChange.job.
    jobs = ("run__job", "record__differential__checkpoint__sync_job")


class DifferentialQuerySet(FindingQuerySet["DataDifferential"]):
    jobs = ("checkpoint__sync_job",)

    def open(self) -> Self:
        """To be decided: not all of it is, and no later comparison has passed over it."""
        return self.filter(resolved=False, superseded_at=None)

    def resolved(self) -> Self:
        return self.filter(resolved=True)

    def superseded(self) -> Self:
        return self.filter(resolved=False, superseded_at__isnull=False)


class RecordQuerySet(FindingQuerySet["DifferentialRecord"]):
    """A record is seen by who sees its differential."""

    jobs = ("differential__checkpoint__sync_job",)
    seen_as = "datadifferential"

    def undecided(self) -> Self:
        return self.filter(state__in=UNDECIDED)

    def to_decide(self) -> Self:
        """Undecided, and of an open differential."""
        return self.undecided().filter(
            differential__resolved=False, differential__superseded_at=None
        )

    def of_job(self, job: Any, *, entity: str | None = None, kind: Kind | None = None) -> Self:
        """A job's; of one entity, or of one kind."""
        records = self.filter(differential__checkpoint__sync_job=job)
        if entity is not None:
            records = records.filter(differential__entity_type=entity)
        if kind is not None:
            records = records.filter(differential__kind=kind)
        return records
