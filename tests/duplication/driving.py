"""Running a duplication's jobs in a test, as workers would, one after the other."""

from typing import Any

from content.models import Block, Item, Part
from duplication.models import Duplication, DuplicationJob, Removal
from duplication.removal.services import start_removal
from duplication.services import start_duplication
from operations import runner


def run_to_end(operation: Any) -> list[str]:
    """Run an operation's jobs until none is runnable; returns how each run ended."""
    outcomes = []
    while job := operation.jobs.filter(status__in=["pending", "in_progress"]).first():
        outcome = runner.run(operation.kind, job.pk)
        outcomes.append(str(outcome))
        assert outcome not in ("not_taken", "lost"), f"{job} doesn't run: {outcome}"
        if outcome == "waiting":
            break
    operation.refresh_from_db()
    return outcomes


def duplicate(episode, **options) -> Duplication:
    """Start and run a duplication of `episode`."""
    options.setdefault("requested_by", None)
    duplication, _ = start_duplication(episode_id=episode.pk, **options)
    run_to_end(duplication)
    return duplication


def remove(duplication: Duplication, **options) -> Removal:
    """Start and run the removal of a duplication's copy."""
    options.setdefault("requested_by", None)
    removal, _ = start_removal(duplication=duplication, **options)
    run_to_end(removal)
    duplication.refresh_from_db()
    return removal


def run_stage(duplication: Any, stage: str) -> None:
    """Run jobs up to and including `stage`."""
    while job := duplication.jobs.filter(status__in=["pending", "in_progress"]).first():
        runner.run(duplication.kind, job.pk)
        if (
            job.stage == stage
            and not duplication.jobs.filter(stage=stage).exclude(status="completed").exists()
        ):
            break
    duplication.refresh_from_db()


def job_of(duplication: Duplication, stage: str) -> DuplicationJob:
    return duplication.jobs.get(stage=stage)


def tree(episode):
    """The tree as nested tuples of everything a copy keeps, in the order it is shown."""
    return [
        (
            part.name,
            part.position,
            [
                (
                    item.name,
                    item.position,
                    [
                        (b.name, b.position, b.field_1, b.field_2, b.field_3, b.media)
                        for b in item.blocks.all()
                    ],
                )
                for item in part.items.all()
            ],
        )
        for part in episode.parts.prefetch_related("items__blocks")
    ]


def rows(episode):
    """How many parts, items and blocks hang below the episode."""
    return (
        Part.objects.filter(episode=episode).count(),
        Item.objects.filter(part__episode=episode).count(),
        Block.objects.filter(item__part__episode=episode).count(),
    )
