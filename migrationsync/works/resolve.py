"""Carries out what a person decided about records, a page a step. Deletes come later: `delete`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migrationsync.models import DifferentialRecord, MigrationCheckpoint
from migrationsync.resolving import looking, marking
from migrationsync.resolving.gathering import TooMuch
from migrationsync.resolving.looking import Looked
from migrationsync.resolving.rules import Action
from migrationsync.runs import batch_name
from migrationsync.source.writing import MayNotWrite
from migrationsync.works.base import Beginning, EntityWork, failed
from operations.work import Step

Page = Sequence[DifferentialRecord]
State = DifferentialRecord.State


class RecordsWork(EntityWork):
    """Records of the run's, in the order of their ids. The cursor is {"after": id, "last_id":
    the legacy id (or UUID) of that record, as people know it}."""

    min_size = 1

    def begin(self, checkpoint: MigrationCheckpoint) -> Beginning:
        return Beginning(self.records(checkpoint).count())

    def records(self, checkpoint: MigrationCheckpoint) -> Any:
        """Which of the run's are this work's."""
        return looking.of_run(checkpoint.run, checkpoint.entity_type).filter(state=State.OPEN)

    def page(self, checkpoint: MigrationCheckpoint, size: int) -> list[DifferentialRecord]:
        after = (checkpoint.cursor or {}).get("after", 0)
        return list(self.records(checkpoint).filter(id__gt=after)[:size])

    def actions(self, checkpoint: MigrationCheckpoint, page: Page) -> dict[int, Action]:
        direction = checkpoint.sync_job.sync_direction
        return {record.pk: looking.planned(record, direction) for record in page}

    def step_over(
        self, checkpoint: MigrationCheckpoint, page: Page, is_last: bool, counts: dict[str, int]
    ) -> Step:
        cursor = checkpoint.cursor or {"after": 0}
        if page:
            cursor = {"after": page[-1].pk, "last_id": str(page[-1].key)}
        return Step(
            cursor,
            finished=is_last,
            rows=len(page),
            done=len(page),
            counts=counts,
        )


class ApplyWork(RecordsWork):
    """Records on which something is done: some of the page, by their actions."""

    deletes: bool

    def read(self, checkpoint: MigrationCheckpoint, size: int) -> tuple[Page, bool, Looked]:
        page = self.page(checkpoint, size)
        is_last = len(page) < size
        while True:
            actions = self.actions(checkpoint, page)
            ours = [record for record in page if actions[record.pk].is_delete is self.deletes]
            try:
                return page, is_last, self._looked(checkpoint, ours, actions)
            except TooMuch:
                page, is_last = page[: len(page) // 2], False

    def _looked(
        self, checkpoint: MigrationCheckpoint, page: Page, actions: dict[int, Action]
    ) -> Looked:
        try:
            return looking.look(
                self.entity(checkpoint),
                self.source(checkpoint),
                self.table(checkpoint),
                page,
                actions,
            )
        except MayNotWrite as error:
            raise failed("source_not_writable", str(error)) from error

    def write(
        self,
        checkpoint: MigrationCheckpoint,
        size: int,
        batch: tuple[Page, bool, Looked],
    ) -> Step:
        page, is_last, looked = batch
        applied = looking.carry_out(
            looked, batch_name=batch_name(checkpoint.run), run_id=checkpoint.run_id
        )
        marking.mark(applied.outcomes)
        return self.step_over(checkpoint, page, is_last, dict(applied.counts))


class ResolveRecords(ApplyWork):
    """Everything but the deletes, which stay open for DeleteRecords."""

    deletes = False
