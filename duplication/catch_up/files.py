"""Files of its own for what a catch-up is about to bring into the copy.

Before the edits are applied, so that no block of the copy ever names a file of the original
of which the copy could have its own.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import QuerySet

from content.models import Block
from duplication.catch_up.work import open_edits
from duplication.drift import copy_hash_sql
from duplication.levels import BLOCKS
from duplication.media.work import CopyFiles, collect_sql
from duplication.models import CatchUpJob, DriftFinding, Duplication, MediaFile
from duplication.walk import one
from operations.work import Step


class CopyEditedFiles(CopyFiles[CatchUpJob]):
    """The files that the originals of open edits name now, by the ids of the findings."""

    def duplication_of(self, job: CatchUpJob) -> Duplication:
        return job.catch_up.duplication

    def files_of(self, job: CatchUpJob) -> QuerySet[MediaFile]:
        duplication_id = job.catch_up.duplication_id
        edits = open_edits(duplication_id).filter(type=BLOCKS.node)
        named = Block.objects.filter(pk__in=edits.values("org_id"), media__isnull=False)
        return MediaFile.objects.filter(
            duplication=duplication_id, source__in=named.order_by().values("media")
        )

    def collect(self, job: CatchUpJob, after: int, size: int) -> tuple[int, int | None]:
        # Where the copy was edited as well the edit won't be applied, and needs no file.
        named = f"""
            SELECT o.media FROM chunk
            JOIN {BLOCKS.table} n ON n.id = chunk.new_id
            JOIN {BLOCKS.table} o ON o.id = chunk.org_id
            WHERE {copy_hash_sql(BLOCKS, row="n")} = chunk.copy_hash"""
        with connection.cursor() as cursor:
            rows, last = one(
                cursor,
                f"""
                WITH chunk AS MATERIALIZED (
                    SELECT id, org_id, new_id, copy_hash FROM {DriftFinding._meta.db_table}
                    WHERE duplication_id = %(duplication)s
                        AND change = '{DriftFinding.Change.EDITED.value}'
                        AND type = '{BLOCKS.node}'
                        AND state = '{DriftFinding.State.OPEN.value}' AND id > %(after)s
                    ORDER BY id LIMIT %(size)s
                ),
                collected AS ({collect_sql(named)})
                SELECT count(*), max(id) FROM chunk""",
                {"duplication": job.catch_up.duplication_id, "after": after, "size": size},
            )
        return rows, last

    def refer(self, job: CatchUpJob, after: int, size: int) -> Step:
        """Nothing: the edits are applied with the new names."""
        return Step(cursor=None, finished=True)
