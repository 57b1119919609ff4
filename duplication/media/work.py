"""Giving the copy files of its own: the stage between the links and the verification.

A catch-up does the same for the files that edited rows name (`duplication.catch_up.files`).

With the strategy *share* there is nothing to do. With *copy*, phase by phase:

    collect   the files that blocks of the copy name, each once
    copy      some at a time, concurrently, outside the transaction
    check     what is missing is told of, or fails the duplication if files are required
    again     after a Retry: what was missing is looked for again
    refer     the copy's blocks name the new files; what is missing keeps its name

Owns the order, the book-keeping and the messages. Doesn't own how a storage copies and what
proves it (`stores`), nor how files are named (`names`).
"""

from __future__ import annotations

import time
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum
from django.template.defaultfilters import filesizeformat

from duplication.levels import BLOCKS
from duplication.media import stores
from duplication.media.contract import Copied, StorageUnreachable, Unfinished
from duplication.media.names import target_sql
from duplication.models import CatchUp, Duplication, DuplicationJob, MediaFile
from duplication.walk import one, plan_for_walking
from operations.exceptions import WorkFailed, WorkWaits
from operations.models import Job
from operations.work import JobT, Step, Work

FILES_PER_STEP = 64
FILES_AT_ONCE = 8
EXAMPLES = 10
UNREACHABLE_WAIT_SECONDS = 30

# A chunk's blocks and files are each looked up by their key: any other join reads the whole
# table for each chunk, which the planner takes for cheaper up to millions of rows.
BY_KEYS = """
    SELECT set_config('enable_hashjoin', 'off', true),
        set_config('enable_mergejoin', 'off', true)"""

Outcome = Copied | Unfinished | StorageUnreachable | None


class MediaMissing(WorkFailed):
    code = "media_missing"


class Phase(StrEnum):
    COLLECT = "collect"
    COPY = "copy"
    CHECK = "check"
    AGAIN = "again"
    REFER = "refer"


class CopyFiles(Work[JobT]):
    """Cursor: [phase, place]. The place is the id after which to go on (collect, refer), or the
    progress of the files that were begun, by the ids of their rows (copy)."""

    initial_size = 5_000
    min_size = 500
    max_size = 20_000

    @abstractmethod
    def duplication_of(self, job: JobT) -> Duplication: ...

    @abstractmethod
    def files_of(self, job: JobT) -> QuerySet[MediaFile]:
        """The files that this job is for, whatever became of them."""

    @abstractmethod
    def collect(self, job: JobT, after: int, size: int) -> tuple[int, int | None]:
        """Keep the files that one chunk of rows names as pending ones; answers how many rows
        there were and the last one's id."""

    @abstractmethod
    def refer(self, job: JobT, after: int, size: int) -> Step:
        """Have one chunk of rows name the copy's files."""

    def prepare(self, job: JobT, size: int) -> Any:
        phase, place = _position(job)
        if phase != Phase.COPY:
            return None
        pending = self.duplication_of(job).media_files.filter(status=MediaFile.Status.PENDING)
        files = list(pending.order_by("id")[:FILES_PER_STEP])
        return list(zip(files, _copy_files(files, place), strict=True)) if files else []

    def step(self, job: JobT, size: int, prepared: Any) -> Step:
        phase, place = _position(job)
        if phase == Phase.COLLECT:
            return self._collect(job, place, size)
        if phase == Phase.COPY:
            return _record(prepared)
        if phase == Phase.CHECK:
            return self._check(job)
        if phase == Phase.AGAIN:
            self._missing(job).update(status=MediaFile.Status.PENDING)
            return Step(cursor=[Phase.COPY, {}], finished=False)
        return self.refer(job, place, size)

    def _collect(self, job: JobT, after: int, size: int) -> Step:
        rows, last = self.collect(job, after, size)
        if rows == size:
            return Step(cursor=[Phase.COLLECT, last], finished=False, rows=rows)
        # What an earlier job didn't find may be there by now.
        self._missing(job).update(status=MediaFile.Status.PENDING)
        pending = self.duplication_of(job).media_files.filter(status=MediaFile.Status.PENDING)
        return Step(cursor=[Phase.COPY, {}], finished=False, rows=rows, total=pending.count())

    def _check(self, job: JobT) -> Step:
        missing = self._missing(job).order_by("id")
        count = missing.count()
        examples = ", ".join(missing.values_list("source", flat=True)[:EXAMPLES])
        told = f"Missing in storage: {examples}{' …' if count > EXAMPLES else ''} ({count} in all)."
        if count and self.duplication_of(job).media_required:
            raise MediaMissing(
                f"{told} Upload what is missing and Retry, or start another duplication that "
                "doesn't require its files."
            )
        message = f"Files copied: {job.counts.get('files', 0)}"
        message += f" ({filesizeformat(job.counts.get('bytes', 0))})."
        if count:
            message += f" {told} Blocks that name them keep the name."
        return Step(
            cursor=[Phase.REFER, 0],
            finished=False,
            done=count,
            counts={"missing": count},
            notes=[{"stage": job.stage, "message": message}],
        )

    def _missing(self, job: JobT) -> QuerySet[MediaFile]:
        return self.files_of(job).filter(status=MediaFile.Status.MISSING)


class CopyMedia(CopyFiles[DuplicationJob]):
    """The files of a whole copy, by the ids of its blocks."""

    def duplication_of(self, job: DuplicationJob) -> Duplication:
        return job.duplication

    def files_of(self, job: DuplicationJob) -> QuerySet[MediaFile]:
        return MediaFile.objects.filter(duplication=job.duplication_id)

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        if job.duplication.media_strategy == Duplication.MediaStrategy.SHARE:
            return Step(cursor=None, finished=True, total=0)
        return super().step(job, size, prepared)

    def collect(self, job: DuplicationJob, after: int, size: int) -> tuple[int, int | None]:
        named = f"SELECT media FROM chunk JOIN {BLOCKS.table} row ON row.id = chunk.new_id"
        return _chunk(job, after, size, f"collected AS ({collect_sql(named)})")

    def refer(self, job: DuplicationJob, after: int, size: int) -> Step:
        rows, last = _chunk(
            job,
            after,
            size,
            f"""
            referred AS (
                UPDATE {BLOCKS.table} SET media = file.target
                FROM chunk, duplication_media file
                WHERE {BLOCKS.table}.id = chunk.new_id AND file.duplication_id = %(duplication)s
                    AND file.source = {BLOCKS.table}.media AND file.status = 'copied'
            )""",
        )
        return Step(cursor=[Phase.REFER, last], finished=rows < size, rows=rows)


def collect_sql(named: str) -> str:
    """Keep what the query `named` answers, as `media`, as files to be copied; those that are
    known stay what they are. Parameter: duplication."""
    return f"""
        INSERT INTO duplication_media (duplication_id, source, target, status, checksum)
        SELECT DISTINCT %(duplication)s::bigint, media, {target_sql("media")}, 'pending', ''
        FROM ({named}) AS named
        WHERE media <> ''
        ON CONFLICT DO NOTHING"""


def look_again(operation: Duplication | CatchUp) -> None:
    """Have a Retry look for the files again whose absence failed the operation. Called inside
    the commit that fails it."""
    jobs = operation.jobs.filter(error_code=MediaMissing.code)
    jobs.update(cursor=[Phase.AGAIN, None])


def report(duplication: Duplication) -> dict[str, Any]:
    """What the verdict's report says of the files."""
    copied = Q(status=MediaFile.Status.COPIED)
    sums = duplication.media_files.aggregate(
        files=Count("pk", filter=copied),
        bytes=Sum("size", filter=copied, default=0),
        missing=Count("pk", filter=Q(status=MediaFile.Status.MISSING)),
    )
    return {"strategy": duplication.media_strategy, **sums}


def _position(job: Job) -> tuple[Phase, Any]:
    phase, place = job.cursor or [Phase.COLLECT, 0]
    return Phase(phase), place


def _copy_files(files: list[MediaFile], progress: dict[str, Any]) -> list[Outcome]:
    """What became of each. Raises WorkWaits when the storage answered for none of them, and
    what the storage refuses."""
    store = stores.store()
    until = time.monotonic() + settings.OPERATION_LEASE_SECONDS / 6

    def copy(file: MediaFile, place: int) -> Outcome:
        before = progress.get(str(file.pk), {})
        # The first is tried in any case: a step that does nothing would be repeated for ever.
        if place and time.monotonic() >= until:
            return Unfinished(before)
        try:
            return store.copy(file.source, file.target, progress=before, until=until)
        except StorageUnreachable as error:
            return error

    with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="media") as pool:
        outcomes = list(pool.map(copy, files, range(len(files))))
    errors = [outcome for outcome in outcomes if isinstance(outcome, StorageUnreachable)]
    if errors and not any(outcome is None or isinstance(outcome, Copied) for outcome in outcomes):
        raise WorkWaits(UNREACHABLE_WAIT_SECONDS, str(errors[0]))
    return outcomes


def _record(outcomes: list[tuple[MediaFile, Outcome]]) -> Step:
    if not outcomes:
        return Step(cursor=[Phase.CHECK, None], finished=False)
    settled, begun = [], {}
    for file, outcome in outcomes:
        if isinstance(outcome, Copied):
            file.status = MediaFile.Status.COPIED
            file.size, file.checksum = outcome.size, outcome.checksum
            settled.append(file)
        elif outcome is None:
            file.status = MediaFile.Status.MISSING
            settled.append(file)
        elif isinstance(outcome, Unfinished) and outcome.progress:
            begun[str(file.pk)] = outcome.progress
    MediaFile.objects.bulk_update(settled, ["status", "size", "checksum"])
    copied = [file for file in settled if file.status == MediaFile.Status.COPIED]
    return Step(
        cursor=[Phase.COPY, begun],
        finished=False,
        rows=len(settled),
        done=len(copied),
        counts={"files": len(copied), "bytes": sum(file.size or 0 for file in copied)},
    )


def _chunk(job: DuplicationJob, after: int, size: int, write: str) -> tuple[int, int | None]:
    """Do `write` (a named part of a statement) for the next chunk of the copy's blocks, found
    along the id map; answers (blocks, the last one's id)."""
    with connection.cursor() as cursor:
        plan_for_walking(cursor)
        cursor.execute(BY_KEYS)
        rows, last = one(
            cursor,
            f"""
            WITH chunk AS MATERIALIZED (
                SELECT new_id FROM id_map
                WHERE duplication_id = %(duplication)s AND type = '{BLOCKS.node}'
                    AND new_id > %(after)s
                ORDER BY new_id LIMIT %(size)s
            ),
            {write}
            SELECT count(*), max(new_id) FROM chunk""",
            {"duplication": job.duplication_id, "after": after, "size": size},
        )
    return rows, last
