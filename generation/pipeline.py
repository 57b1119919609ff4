"""A stage run as the kernel's work: its calls outside the transaction, its result within.

Owns what every stage has in common: the episode's own fields, what was used and paid, the
limit on it, and what a busy provider means. What a stage makes is the stage's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F

from generation import episodes
from generation.models import GenerationJob, GenerationStage
from generation.providers.contract import ProviderBusy, ProviderFailed, Usage
from generation.stages.contract import Made, Stage
from operations import leases
from operations.exceptions import WorkFailed, WorkWaits
from operations.models import Job
from operations.work import Step, Work


class CostLimitReached(WorkFailed):
    """This generation has cost more than one may."""

    code = "cost_limit"


class _ForStep(NamedTuple):
    """What was made for the job's step of this number."""

    step: int
    made: Made


class RunStage(Work[GenerationStage]):
    """Base: `work_of` makes one for each stage. The size of a step is the stage's own."""

    stage: ClassVar[type[Stage]]

    initial_size = min_size = max_size = 1

    def __init__(self) -> None:
        self._running = self.stage()
        self._made: _ForStep | None = None

    def prepare(self, job: GenerationStage, size: int) -> _ForStep:
        """What the stage makes for the step that comes; the same again where that step was
        rolled back (a deadlock, a lost connection), for it may have been paid for."""
        if self._made is None or self._made.step != job.steps:
            self._made = _ForStep(job.steps, self._make(job))
        return self._made

    def _make(self, job: GenerationStage) -> Made:
        generation = job.generation
        episodes.show_stage(generation, self._running.status)
        _require_affordable(generation)
        try:
            return self._running.make(generation, job.cursor)
        except ProviderBusy as busy:
            _keep_usage(job, busy.usage)
            raise WorkWaits(busy.retry_after_seconds, busy.reason) from busy
        except ProviderFailed as failed:
            _keep_usage(job, failed.usage)
            raise

    def step(self, job: GenerationStage, size: int, prepared: _ForStep) -> Step:
        if prepared.step != job.steps:
            # Its commit was thought lost with the connection, and wasn't.
            return Step(job.cursor, finished=False)
        made = prepared.made
        if made.write:
            made.write()
        if made.fields:
            GenerationJob.objects.filter(pk=job.generation_id).update(**made.fields)
        _add_usage(job, made.usage, made.chars_cached)
        episodes.show_progress(job, done=made.done, total=made.total)
        return Step(
            made.cursor,
            finished=made.finished,
            done=made.done,
            total=made.total,
            notes=[{"message": note} for note in made.notes],
        )

    def close(self) -> None:
        self._running.close()


def work_of(stage: type[Stage]) -> type[RunStage]:
    """The work of a stage; its name is what a job keeps."""
    return type(stage.__name__, (RunStage,), {"stage": stage, "__doc__": stage.__doc__})


def _keep_usage(job: GenerationStage, usage: Usage) -> None:
    """A call that failed may have been paid for: that is written although the step isn't."""
    if usage != Usage():
        with transaction.atomic():
            _add_usage(leases.hold(job), usage, chars_cached=0)


def _add_usage(job: Job, usage: Usage, chars_cached: int) -> None:
    if usage == Usage() and not chars_cached:
        return
    generation = GenerationJob.objects.select_for_update(no_key=True, of=("self",)).get(
        pk=job.operation_id
    )
    before = generation.usage.get(job.stage)
    used = Usage.from_json(before) + usage if before else usage
    GenerationJob.objects.filter(pk=generation.pk).update(
        usage={**generation.usage, job.stage: used.as_json()},
        cost=F("cost") + usage.cost,
        chars_paid=F("chars_paid") + usage.chars,
        chars_cached=F("chars_cached") + chars_cached,
    )


def _require_affordable(generation: GenerationJob) -> None:
    limit: Decimal = settings.GENERATION_MAX_USD_PER_GENERATION
    if limit and generation.cost > limit:
        raise CostLimitReached(
            f"It has cost ${generation.cost:.2f} so far, and one generation may cost "
            f"${limit:.2f} (GENERATION_MAX_USD_PER_GENERATION). Raise the limit and retry: what "
            "is paid for is kept."
        )
