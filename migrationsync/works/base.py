"""What every work on an entity has in common: its entity, its source, who else is at it, how far.

A work writes `read` (outside the transaction: asks the source) and `write` (inside it: changes
the target). Owns what comes of a source that is away or isn't as declared, that two jobs never
work on one entity at once, and the figures on the checkpoint.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from migrationsync import runs
from migrationsync.entities import Entity, UnknownEntity, entities
from migrationsync.models import MigrationCheckpoint, SynchronizationRun
from migrationsync.returning import refusals
from migrationsync.source import (
    SchemaDrift,
    Source,
    SourceDenied,
    SourceFailed,
    SourceInterrupted,
    SourceUnreachable,
    Table,
)
from operations.exceptions import WorkFailed, WorkWaits
from operations.work import Step, Work

_WRITES = (SynchronizationRun.Purpose.SYNC, SynchronizationRun.Purpose.RESOLVE)
AWAY_SECONDS = 30
BUSY_SECONDS = 10


@dataclass(frozen=True)
class Beginning:
    """What is found out once, before the first step: how many records there seem to be, and what
    the checkpoint's metadata is to hold from then on."""

    total: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Prepared:
    """`sizes`: of the run's entities, from its first step."""

    beginning: Beginning | None
    sizes: Mapping[str, int] | None
    batch: Any


class EntityWork(Work[MigrationCheckpoint]):
    """One entity's part of a run. An instance lives for one of the kernel's runs.

    A source that is away is waited for. One that refuses us fails the run; so does one that isn't
    as declared, before the entity's first row, with everything that is wrong with any entity of
    the run.
    """

    initial_size: ClassVar[int] = 5_000

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}

    # --- what a work writes -------------------------------------------------------

    def begin(self, checkpoint: MigrationCheckpoint) -> Beginning:
        """Called before the first step until that is committed, outside its transaction."""
        return Beginning(self.source(checkpoint).count(self.table(checkpoint)))

    @abstractmethod
    def read(self, checkpoint: MigrationCheckpoint, size: int) -> Any:
        """What the step needs from outside the target, for at most `size` records behind
        `checkpoint.cursor`. Not in a transaction. What it changes must be safe to repeat.
        Before the first step is committed the metadata is as `begin` says, too."""

    @abstractmethod
    def write(self, checkpoint: MigrationCheckpoint, size: int, batch: Any) -> Step:
        """The step, in its transaction. `checkpoint` is locked; changes to its metadata are
        saved. `done` of the step is added to the records processed, and the total follows."""

    def try_again(self, checkpoint: MigrationCheckpoint) -> None:
        """Before a failed run goes on where too many of the entity's rows were refused, the
        checkpoint locked: what is to be done about those."""

    # --- what a work is given -----------------------------------------------------

    def entity(self, checkpoint: MigrationCheckpoint) -> Entity:
        """Raises WorkFailed for one that is no longer declared."""
        return declared(checkpoint.entity_type)

    def source(self, checkpoint: MigrationCheckpoint) -> Source:
        return Source(checkpoint.sync_job.source_alias)

    def table(self, checkpoint: MigrationCheckpoint) -> Table:
        """The source's table, as it is. Raises SchemaDrift and SourceUnreachable."""
        if checkpoint.entity_type not in self._tables:
            self._tables |= self.source(checkpoint).check([self.entity(checkpoint)])
        return self._tables[checkpoint.entity_type]

    # --- the kernel's side ----------------------------------------------------------

    def prepare(self, job: MigrationCheckpoint, size: int) -> _Prepared:
        wait_for_others(job)
        with self._troubles(job):
            beginning, sizes = None, None
            if not job.steps:
                self._check(job)
                beginning, sizes = self.begin(job), self._sizes(job)
                job.metadata = {**job.metadata, **beginning.metadata}
            try:
                return _Prepared(beginning, sizes, self.read(job, self._size(job, size)))
            except SourceFailed:
                # A column may have gone since the first step: then that is what is told.
                with contextlib.suppress(SourceUnreachable):
                    self.source(job).check([self.entity(job)])
                raise

    def step(self, job: MigrationCheckpoint, size: int, prepared: _Prepared) -> Step:
        hold_entity(job.entity_type)
        wait_for_others(job)
        if prepared.beginning:
            job.metadata = {**job.metadata, **prepared.beginning.metadata}
            job.records_total = prepared.beginning.total
        if prepared.sizes is not None:
            SynchronizationRun.objects.filter(pk=job.run_id).update(sizes=prepared.sizes)
        with self._troubles(job):
            step = self.write(job, self._size(job, size), prepared.batch)
        return self._counted(job, step)

    def _size(self, checkpoint: MigrationCheckpoint, size: int) -> int:
        return min(size, checkpoint.batch_size)

    def _check(self, checkpoint: MigrationCheckpoint) -> None:
        """All of the run's entities: what is wrong with the last isn't found out after hours.
        Raises SchemaDrift, and WorkFailed for what can't be given back."""
        job, run = checkpoint.sync_job, checkpoint.run
        chosen = [declared(name) for name in run.entities]
        source = self.source(checkpoint)
        self._tables = source.check(chosen)
        if runs.is_first(run, checkpoint.stage):
            source.check_keys(chosen, self._tables)
        if run.purpose in _WRITES and job.sync_direction == job.Direction.BIDIRECTIONAL:
            problems = [
                problem
                for entity in chosen
                for problem in refusals(entity, self._tables[entity.name])
            ]
            if problems:
                raise failed("not_reversible", "\n".join(["Nothing was changed:", *problems]))

    def _sizes(self, checkpoint: MigrationCheckpoint) -> Mapping[str, int] | None:
        if not runs.is_first(checkpoint.run, checkpoint.stage):
            return None
        source = self.source(checkpoint)
        return {name: source.count(table) for name, table in self._tables.items()}

    @contextlib.contextmanager
    def _troubles(self, checkpoint: MigrationCheckpoint) -> Iterator[None]:
        try:
            yield
        except SourceDenied as error:
            raise failed("source_denied", str(error)) from error
        except SourceUnreachable as error:
            raise WorkWaits(AWAY_SECONDS, str(error)) from error
        except SchemaDrift as error:
            raise drifted(error, has_begun=bool(checkpoint.steps)) from error
        except SourceInterrupted:
            # The kernel's: it takes smaller steps.
            raise
        except SourceFailed as error:
            raise failed("source_failed", str(error)) from error

    def _counted(self, checkpoint: MigrationCheckpoint, step: Step) -> Step:
        """Keeps how far it has come, and corrects the total, which was an estimate."""
        processed = checkpoint.records_processed + step.done
        total = processed if step.finished else max(checkpoint.records_total, processed)
        last = None
        if isinstance(step.cursor, dict):
            last = step.cursor.get("last_id", step.cursor.get("after"))
        checkpoint.records_processed, checkpoint.records_total = processed, total
        if last is not None:
            checkpoint.last_processed_id = str(last)
        checkpoint.save(
            update_fields=["records_processed", "records_total", "last_processed_id", "metadata"]
        )
        return replace(step, total=total)


def declared(name: str) -> Entity:
    try:
        return entities.get(name)
    except UnknownEntity as error:
        raise failed("unknown_entity", str(error)) from error


def drifted(error: SchemaDrift, *, has_begun: bool) -> WorkFailed:
    """`has_begun`: some of the entity's steps are committed, and stay."""
    so = (
        "is no longer as declared, so it wasn't read any further"
        if has_begun
        else ("isn't as declared, so nothing was read")
    )
    then = "then retry: it goes on behind what was read." if has_begun else "then retry."
    return failed(
        "schema_drift",
        f"The source {so}:\n{error}\nMend the source or the declaration, {then}",
    )


def wait_for_others(checkpoint: MigrationCheckpoint) -> None:
    """Two jobs never work on one entity at once: who started later waits. Raises WorkWaits."""
    other = (
        MigrationCheckpoint.objects.filter(
            Q(started_at__lt=checkpoint.started_at)
            | Q(started_at=checkpoint.started_at, pk__lt=checkpoint.pk),
            status=MigrationCheckpoint.Status.IN_PROGRESS,
            entity_type=checkpoint.entity_type,
            lease_until__gt=Now(),
        )
        .exclude(sync_job=checkpoint.sync_job_id)
        .select_related("sync_job")
        .first()
    )
    if other is not None:
        raise WorkWaits(BUSY_SECONDS, f"“{other.sync_job}” is working on {other.entity_type}.")


def hold_entity(name: str) -> None:
    """Keep others from the entity until the transaction ends: who was claimed at the same moment
    isn't seen yet by `wait_for_others`. Raises WorkWaits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"sync entity {name}"]
        )
        if not cursor.fetchone()[0]:
            raise WorkWaits(BUSY_SECONDS, f"Another job is working on {name}.")


def failed(code: str, message: str) -> WorkFailed:
    failure = WorkFailed(message)
    failure.code = code
    return failure
