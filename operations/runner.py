"""The one loop: claim, pass the gates, run a step, commit it whole, again.

A step's rows, the job's cursor and counts, the operation's progress and the event are
one transaction that starts with the lease's proof. After the time budget the job goes
back to the queue and the worker is free for others.

Owns: the loop, what is retried, how a job ends. Doesn't own: who may claim (leases), why
to wait (gates), delivery (delivery, dispatcher), pausing and cancelling (control).
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
import traceback
from contextlib import closing
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from operations import control, delivery, events, kinds, leases, step_size, telemetry
from operations.database_errors import is_contention, is_disconnect, is_disk_full, sqlstate
from operations.exceptions import (
    AttemptsExhausted,
    LeaseLost,
    OperationError,
    WorkFailed,
    WorkWaits,
)
from operations.gates import Wait, first_wait
from operations.gates.load import unreadable_signals
from operations.gates.load.latency import observed
from operations.gates.load.telling import tell_unreadable
from operations.gates.throttle import EXCEPTION_EVENT
from operations.kinds import Kind
from operations.models import Job, Operation
from operations.queue import heartbeat
from operations.rest import rest
from operations.snapshots import stage_snapshot, weights
from operations.work import Step, Work

STEP_TRIES = 3
MAX_ATTEMPTS = 5
RECONNECT_TRIES = 6
LOCK_TIMEOUT_MS = 5_000
CONTENTION_WAIT_SECONDS = 10
DISK_FULL_WAIT_SECONDS = 60


class Outcome(StrEnum):
    """How a run ended; what the queue keeps as the task's result."""

    NOT_TAKEN = "not_taken"
    WAITING = "waiting"
    STOPPED = "stopped"
    LOST = "lost"
    REQUEUED = "requeued"
    COMPLETED = "completed"
    FAILED = "failed"


class _Ended(OperationError):
    """The operation was failed or cancelled by another job while this one's step ran."""


def run_on(kind_name: str, job_id: Any) -> Outcome:
    """`run`, and then the jobs that follow from its end, in the same time budget: a short stage
    isn't worth the queue's way. They were delivered as well; who is first takes them."""
    deadline = time.monotonic() + settings.OPERATION_TIME_BUDGET_SECONDS
    outcome = run(kind_name, job_id)
    while outcome == Outcome.COMPLETED and (left := deadline - time.monotonic()) > 0:
        following = _following(kinds.get(kind_name), job_id)
        if following is None:
            break
        ended = run(kind_name, following, budget_seconds=left)
        if ended == Outcome.NOT_TAKEN:
            break  # another worker was first
        job_id, outcome = following, ended
    return outcome


def _following(kind: Kind[Any], job_id: Any) -> Any | None:
    """A job that was added behind this one, to the same operation, and that nobody has taken.
    Keys ascend, of whatever type they are: numbers, or UUIDs in time order."""
    job = kind.job._default_manager.with_operation().filter(pk=job_id).first()
    if job is None:
        return None
    behind = kind.jobs_of(job.operation).filter(
        pk__gt=job_id, status=kind.job.Status["PENDING"], lease_until=None
    )
    return behind.order_by("pk").values_list("pk", flat=True).first()


def run(kind_name: str, job_id: Any, *, budget_seconds: float | None = None) -> Outcome:
    """Work on the job for about `budget_seconds`. Idempotent: safe to deliver any number of
    times, at the same time. Raises only when the database stays out of reach or can't
    write anything."""
    kind = kinds.get(kind_name)
    claim = leases.claim(kind, job_id)
    if claim.refusal == leases.Refusal.ENDED and claim.job:
        control.settle(kind, claim.job.operation_id)
        return Outcome.STOPPED
    if claim.job is None:
        return Outcome(str(claim.refusal))
    budget = settings.OPERATION_TIME_BUDGET_SECONDS if budget_seconds is None else budget_seconds
    job = claim.job
    with (
        telemetry.continued(
            job.operation,
            "job",
            job_class=job.name,
            started_at=timezone.now().isoformat(),
            **{key: str(value) for key, value in kind.log_fields(job.operation).items()},
        ),
        closing(_Run(kind, job, deadline=time.monotonic() + budget)) as this_run,
    ):
        return this_run.loop()


class _Run:
    """One worker's time with one job."""

    def __init__(self, kind: Kind[Any], job: Job, *, deadline: float) -> None:
        self.kind = kind
        self.job = job
        self.deadline = deadline
        self.unreadable: set[str] = set()
        # Of the last step, with the database: waiting for a provider is no load.
        self.worked_seconds = 0.0
        self.closed = False
        self.work: Work[Any] = kind.work[job.name]()
        self.logger = logging.getLogger(kind.name)

    def close(self) -> None:
        """End what the work left running, once: before the job is given back, or its next
        worker would meet it."""
        if not self.closed:
            self.closed = True
            with leases.kept(self.job):
                self.work.close()

    def loop(self) -> Outcome:
        try:
            if self.job.attempts > MAX_ATTEMPTS:
                raise AttemptsExhausted(
                    f"{self.job.name} was started {MAX_ATTEMPTS} times at the same place and "
                    "never came to an end: it may use up its worker's memory or time."
                )
            self._start()
            while True:
                self.job.operation.refresh_from_db()
                if not self.job.operation.is_runnable or self.job.operation.requested:
                    return self._stop()
                if wait := first_wait(self.kind, self.job):
                    return self._wait(wait)
                self._tell_unreadable()
                try:
                    step = self._step_with_retries()
                except WorkWaits as waits:
                    return self._wait(Wait(waits.seconds, str(waits)))
                if step is None:
                    return self._wait(
                        Wait(CONTENTION_WAIT_SECONDS, "The database is busy with conflicting work.")
                    )
                heartbeat.beat()
                if step.finished:
                    return Outcome.COMPLETED
                rest(self.kind, self.job, worked_seconds=self.worked_seconds)
                if time.monotonic() >= self.deadline:
                    return self._requeue()
        except LeaseLost:
            self._log(logging.WARNING, "Another worker has taken this job")
            return Outcome.LOST
        except _Ended:
            return self._stop()
        except Exception as error:
            if isinstance(error, DatabaseError):
                if is_disconnect(error):
                    raise  # nothing can be written: the dispatcher sees to it after the lease
                if is_disk_full(error):
                    return self._wait_for_room(error)
            return self._fail(error)

    # --- the step -------------------------------------------------------------

    def _step_with_retries(self) -> Step | None:
        """One committed step; None when contention outlasted the tries."""
        tries, reconnects = 0, 0
        while True:
            try:
                return self._step()
            except DatabaseError as error:
                if is_disconnect(error) and reconnects < RECONNECT_TRIES:
                    reconnects += 1
                    self._reconnect(reconnects)
                elif is_contention(error):
                    tries += 1
                    self._note_exception(error)
                    self.job.step_size = step_size.halved(self._size(), minimum=self.work.min_size)
                    if tries == STEP_TRIES:
                        return None
                    time.sleep(random.uniform(0, 0.1) * tries)  # noqa: S311 - jitter
                else:
                    raise

    def _step(self) -> Step:
        size, began_at = self._size(), timezone.now()
        with telemetry.span("chunk", chunk_number=self.job.steps, size=size):
            with leases.kept(self.job):
                prepared = self.work.prepare(self.job, size)
            with telemetry.span("transaction"), transaction.atomic():
                self._set_timeouts()
                job = leases.hold(self.job)
                began = time.monotonic()
                step = self.work.step(job, size, prepared)
                elapsed_ms = (time.monotonic() - began) * 1000
                self._write(job, step, size=size, elapsed_ms=elapsed_ms, began_at=began_at)
            self.worked_seconds = time.monotonic() - began
        job.lease_token = self.job.lease_token
        self.job = job
        self._log(
            logging.DEBUG,
            "Chunk committed",
            chunk_number=job.steps - 1,
            counts=step.counts,
            elapsed_ms=round(elapsed_ms),
        )
        return step

    def _size(self) -> int:
        return self.job.step_size or self.work.initial_size

    def _set_timeouts(self) -> None:
        # A statement may not outlive half the lease: it is cancelled and tried smaller.
        statement_ms = settings.OPERATION_LEASE_SECONDS * 1000 // 2
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, true),"
                " set_config('statement_timeout', %s, true)",
                [str(LOCK_TIMEOUT_MS), str(statement_ms)],
            )

    def _write(
        self, job: Job, step: Step, *, size: int, elapsed_ms: float, began_at: dt.datetime
    ) -> None:
        """Everything that goes with the step's rows; the operation's row is locked from here."""
        job.cursor = step.cursor
        job.steps += 1
        for name, amount in step.counts.items():
            job.counts[name] = job.counts.get(name, 0) + amount
        job.step_size = step_size.next_size(
            size,
            rows=step.rows,
            elapsed_ms=elapsed_ms,
            target_ms=settings.OPERATION_STEP_TARGET_MS,
            minimum=self.work.min_size,
            maximum=self.work.max_size,
        )
        job.latency = observed(job, size=size, rows=step.rows, elapsed_ms=elapsed_ms)
        type(job)._default_manager.filter(pk=job.pk).update(
            cursor=job.cursor,
            steps=job.steps,
            counts=job.counts,
            step_size=job.step_size,
            latency=job.latency,
            attempts=0,
            deliveries=0,
            heartbeat_at=Now(),
            lease_until=Now() + leases.lease(),
            due_at=Now() + leases.lease() + leases.GRACE,
        )
        operation = leases.lock_operation(job)
        if not operation.is_runnable:
            raise _Ended
        self._write_progress(operation, job, step, began_at)
        for note in step.notes:
            events.append(operation, "feedback", stage=job.stage, payload=note)
        if step.rows or step.done or step.total is not None:
            events.append(
                operation,
                "progress",
                stage=job.stage,
                payload={
                    "amount": step.done,
                    "elapsed_ms": round(elapsed_ms),
                    **stage_snapshot(operation, job.stage),
                    **self._weights(operation, job),
                },
            )
        if step.finished:
            self._complete(operation, job)

    def _weights(self, operation: Operation, job: Job) -> dict[str, Any]:
        """Of a job's first step, which may have found out how much there is to do."""
        if job.steps > 1:
            return {}
        found = weights(self.kind.stages_of(operation))
        return {"weights": found} if any(found.values()) else {}

    def _write_progress(
        self, operation: Operation, job: Job, step: Step, began_at: dt.datetime
    ) -> None:
        fields = ["progress", "updated_at"]
        if operation.waiting_reason:
            fields += control.clear_waiting(operation)
        stage = operation.progress.setdefault(
            job.stage,
            {
                "done": 0,
                "total": None,
                # With what was prepared for its first step: else that would seem to take no time.
                "started_at": began_at.isoformat(),
                "waited_before": operation.waited_seconds,
            },
        )
        stage["done"] += step.done
        if step.total is not None:
            stage["total"] = step.total
        operation.save(update_fields=fields)

    def _complete(self, operation: Operation, job: Job) -> None:
        job.take(
            "complete", ended_at=timezone.now(), due_at=None, lease_token=None, lease_until=None
        )
        open_lanes = self.kind.jobs_of(operation).filter(
            ~Q(status=job.Status["COMPLETED"]), stage=job.stage
        )
        # The operation's row is locked: of two lanes that end at once, the second sees none.
        if not open_lanes.exists():
            operation.progress[job.stage]["ended_at"] = timezone.now().isoformat()
            operation.save(update_fields=["progress"])
            with telemetry.span("status transition", stage=job.stage):
                self.kind.stage_completed(operation, job.stage)

    # --- how a run ends ---------------------------------------------------------

    def _start(self) -> None:
        if not self.job.operation.has_status("PENDING"):
            return
        with telemetry.span("status transition"), transaction.atomic():
            leases.hold(self.job)
            operation = leases.lock_operation(self.job)
            if operation.has_status("PENDING"):
                started_at = timezone.now()
                operation.take("start", started_at=started_at)
                told = control.words_payload(self.kind, operation)
                events.append(
                    operation, "started", payload={"started_at": started_at.isoformat(), **told}
                )
        self._log(logging.INFO, "Status changed from pending to in progress")

    def _stop(self) -> Outcome:
        self.close()
        # Due at once: should this process die before it settles, the dispatcher sees to it.
        with transaction.atomic():
            leases.release(leases.hold(self.job), due_at=timezone.now())
        control.settle(self.kind, self.job.operation_id)
        return Outcome.STOPPED

    def _wait(self, wait: Wait) -> Outcome:
        self.close()
        with transaction.atomic():
            job = leases.hold(self.job)
            job.step_size = self.job.step_size
            # Who waits has come back: only a worker that didn't counts as an attempt.
            job.attempts = max(job.attempts - 1, 0)
            job.save(update_fields=["step_size", "attempts"])
            leases.postpone(self.kind, job, wait)
        self._log(logging.INFO, "Waiting", reason=wait.reason, seconds=round(wait.seconds))
        return Outcome.WAITING

    def _wait_for_room(self, error: DatabaseError) -> Outcome:
        """The step is rolled back; the job goes on by itself once there is room. If not even
        this can be written it raises, and the dispatcher sees to it after the lease."""
        try:
            self._note_exception(error)
            return self._wait(
                Wait(
                    DISK_FULL_WAIT_SECONDS,
                    "The database server's disk is full: make room there and it goes on by itself.",
                )
            )
        except LeaseLost:
            return Outcome.LOST

    def _requeue(self) -> Outcome:
        self.close()
        with transaction.atomic():
            job = leases.hold(self.job)
            leases.release(job)
            delivery.enqueue(job)
        return Outcome.REQUEUED

    def _fail(self, error: Exception) -> Outcome:
        trace = "".join(traceback.format_exception(error))
        expected = isinstance(error, WorkFailed)
        telemetry.record_failure(error)
        self.close()
        try:
            if not expected:
                self._note_exception(error)
            with transaction.atomic():
                job = leases.hold(self.job)
                control.fail(
                    self.kind,
                    job,
                    code=error.code if isinstance(error, WorkFailed) else type(error).__name__,
                    message=str(error) if expected else f"{type(error).__name__}: {error}",
                    trace=trace,
                )
        except LeaseLost:
            # Another worker has this job: the error is a consequence of that, not the job's.
            return Outcome.LOST
        self._log(
            logging.ERROR, "Fatal error", exc_info=error, exception_class=type(error).__name__
        )
        return Outcome.FAILED

    def _note_exception(self, error: Exception) -> None:
        """One event for each step that failed: what the throttle counts and a watcher sees."""
        with transaction.atomic():
            job = leases.hold(self.job)
            events.append(
                leases.lock_operation(job),
                EXCEPTION_EVENT,
                stage=job.stage,
                payload={
                    "error_code": sqlstate(error) or type(error).__name__,
                    "message": str(error).strip(),
                },
            )

    def _tell_unreadable(self) -> None:
        unseen = [each for each in unreadable_signals() if each.signal not in self.unreadable]
        if unseen:
            tell_unreadable(self.job, unseen)
            self.unreadable.update(each.signal for each in unseen)

    def _reconnect(self, tries: int) -> None:
        self._log(logging.WARNING, "Lost the database connection; trying again", tries=tries)
        connection.close()
        time.sleep(min(0.25 * 2**tries, 8.0))

    def _log(self, level: int, message: str, *, exc_info: Any = None, **fields: Any) -> None:
        self.logger.log(
            level,
            message,
            exc_info=exc_info,
            extra={
                "fields": {
                    **self.kind.log_fields(self.job.operation),
                    "job_class": self.job.name,
                    "lane": self.job.lane,
                    **fields,
                }
            },
        )
