"""What an app supplies: the work of one job, a step at a time.

The runner owns the loop, the transaction, the lease, retries and events; a `Work` owns
what one step does and where the next one starts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from operations.models import Job

JobT = TypeVar("JobT", bound=Job)


@dataclass(frozen=True)
class Step:
    """What one step did.

    `cursor`: any JSON value, where the next step starts. `rows`: how many rows this one
    handled (drives the step size). `done`: added to the stage's progress; `total`: the
    stage's total, where this step found it out. `counts`: added to the job's counts.
    `notes`: payloads of feedback events, for things a user should hear of.
    """

    cursor: Any
    finished: bool
    rows: int = 0
    done: int = 0
    total: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)


class Work(ABC, Generic[JobT]):
    """One job's work, over the app's own model of a job.

    Instances live for one run and hold no state that a crash would lose.
    """

    initial_size: ClassVar[int] = 1_000
    min_size: ClassVar[int] = 100
    max_size: ClassVar[int] = 50_000

    def prepare(self, job: JobT, size: int) -> Any:
        """What must not happen inside the step's transaction (a provider's call, a read
        from another database). Called before each step; its result is handed to `step`.
        Whatever it changes outside must be safe to repeat."""
        return None

    def close(self) -> None:
        """Called once at the end of the run, however it ends: what `prepare` left running (calls
        to a provider) is brought to an end. What it yields may be lost, as in a crash."""

    @abstractmethod
    def step(self, job: JobT, size: int, prepared: Any) -> Step:
        """Do about `size` rows from `job.cursor` on, inside the runner's transaction.

        Raises WorkFailed when the operation can't succeed; any other exception fails the
        job as unexpected, except what the database says is worth another try.
        """
