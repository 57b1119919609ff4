"""Compares again what a run resolved: what still differs wasn't."""

from __future__ import annotations

from typing import Any

from migrationsync.comparing import Difference
from migrationsync.comparing.records import Key
from migrationsync.models import DifferentialRecord, MigrationCheckpoint
from migrationsync.resolving import looking, marking
from migrationsync.resolving.applying import Outcome
from migrationsync.works.resolve import Page, RecordsWork
from operations.work import Step

State = DifferentialRecord.State


class CheckRecords(RecordsWork):
    """Changes neither side. A record that differs again becomes one that couldn't be resolved."""

    def records(self, checkpoint: MigrationCheckpoint) -> Any:
        of_run = looking.of_run(checkpoint.run, checkpoint.entity_type)
        return of_run.filter(state=State.RESOLVED)

    def read(
        self, checkpoint: MigrationCheckpoint, size: int
    ) -> tuple[Page, dict[Key, Difference]]:
        page = self.page(checkpoint, size)
        found = looking.compared(
            self.entity(checkpoint), self.source(checkpoint), self.table(checkpoint), page
        )
        return page, found

    def write(
        self,
        checkpoint: MigrationCheckpoint,
        size: int,
        batch: tuple[Page, dict[Key, Difference]],
    ) -> Step:
        page, found = batch
        outcomes = still_different(page, found)
        marking.mark(outcomes)
        counts = {"checked": len(page), "still_different": len(outcomes)}
        return self.step_over(checkpoint, page, len(page) < size, counts)


def still_different(page: Page, found: dict[Key, Difference]) -> dict[int, Outcome]:
    """What is to be said of those that differ although they were resolved."""
    return {
        record.pk: Outcome(
            State.FAILED,
            f"It was resolved ({record.outcome.rstrip('.')}), but differs when it is looked at "
            f"again: {looking.in_words(difference)}.",
        )
        for record in page
        if (difference := found.get(record.key)) is not None
    }
