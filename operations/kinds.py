"""The kinds of operation this installation runs, by name.

An app registers its kind in `AppConfig.ready`; the kernel reaches every concrete model
and every piece of work through here and imports no app.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from django.db.models import Q, QuerySet

from operations.exceptions import UnknownKind
from operations.models import Job, Operation
from operations.stages import Stage, label
from operations.work import Work

OperationT = TypeVar("OperationT", bound=Operation)


class Kind(ABC, Generic[OperationT]):
    """One kind of operation: its models, its work by job name, its stages and their order.

    A kind whose operations are run again and again adds an edge “schedule” to PENDING, names in
    `jobs_of` and `stages_of` what belongs to the latest run, and starts one with
    `control.begin_again`.
    """

    name: ClassVar[str]
    operation: type[OperationT]
    job: ClassVar[type[Job]]
    work: ClassVar[Mapping[str, type[Work[Any]]]]
    stages: ClassVar[tuple[str, ...]] = ()

    def jobs_of(self, operation: OperationT) -> QuerySet[Any]:
        """The jobs of what the operation does now, or did last: what is left of an earlier run is
        history, and nobody works on it. May be asked without the operation's row locked."""
        return self.job._default_manager.filter(**{self.job.operation_field: operation})

    def stages_of(self, operation: OperationT) -> Sequence[Stage]:
        """The stages of what the operation does now, or did last, in their order."""
        return [Stage(name, label(name)) for name in self.stages]

    @abstractmethod
    def stage_completed(self, operation: OperationT, stage: str) -> None:
        """Start what follows `stage`, or complete the operation.

        Called once per stage, inside the commit of the stage's last job, with the
        operation's row locked. Jobs are added with `delivery.add_job`.
        """

    def refusal(self, operation: OperationT, verb: str) -> str:
        """Why `verb` (pause, resume, cancel, retry) may not be done although the status would
        allow it; empty: it may. Asked with the operation's row locked before it is done, and
        without the lock to know what to offer."""
        return ""

    def asking(self) -> Q:
        """Which operations have stopped to ask a person something."""
        return Q(pk__in=[])

    def question(self, operation: OperationT) -> str:
        """What one of `asking` asks, as a sentence; empty for any other."""
        return ""

    def in_words(self, operation: OperationT) -> str:
        """What it does now, or did last, in a few words: stands beside the events in which it
        begins and ends. Empty where the operation itself says it all."""
        return ""

    def consequence(self, operation: OperationT, verb: str) -> str:
        """What `verb` does to this one beside what it does to any, as a sentence: told before."""
        return ""

    def on_resumed(self, operation: OperationT) -> None:
        """Called inside the commit that resumes or retries the operation, with its row locked.
        Where nothing is left to go on with it may take the operation out of IN_PROGRESS
        (`control.schedule`): then no job is delivered."""

    def on_failed(self, operation: OperationT) -> None:
        """Called inside the commit that fails the operation, with its row locked."""

    def on_cancelled(self, operation: OperationT) -> None:
        """Called inside the commit that cancels the operation, with its row locked."""

    def log_fields(self, operation: OperationT) -> dict[str, object]:
        """What identifies the operation in the log channel that has the kind's name."""
        return {f"{self.name}_id": operation.pk}


_kinds: dict[str, Kind[Any]] = {}


def register(kind: Kind[Any]) -> None:
    _kinds[kind.name] = kind


def get(name: str) -> Kind[Any]:
    """Raises UnknownKind."""
    try:
        return _kinds[name]
    except KeyError:
        raise UnknownKind(
            f"There is no kind of operation {name!r}; there are: {', '.join(sorted(_kinds))}."
        ) from None


def all_kinds() -> list[Kind[Any]]:
    return list(_kinds.values())
