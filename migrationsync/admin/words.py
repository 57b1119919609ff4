"""What a synchronization is and does, in words for its list and its pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from migrationsync import schedules
from migrationsync.admin.findings import joined
from migrationsync.entities import UnknownEntity, entities
from migrationsync.models import LegacyIdMapping, SynchronizationJob, SynchronizationRun
from operations import watching

# More entities than these are counted only.
NAMED = 3
ONLY_WHEN_ASKED = "Only when somebody asks"


def what_it_does(job: SynchronizationJob) -> str:
    """“Offices, doctors · both ways · a person decides”."""
    parts = (
        listed(job.entities_to_sync),
        job.get_sync_direction_display(),
        job.get_conflict_resolution_display(),
    )
    return " · ".join(part if not number else part.lower() for number, part in enumerate(parts))


def listed(names: list[str]) -> str:
    """“Offices, profiles, doctors and 3 more”."""
    told = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        told += f" and {len(names) - NAMED} more"
    return told[:1].upper() + told[1:]


def schedule(job: SynchronizationJob) -> str:
    return schedules.in_words(job.schedule_config) if job.recurs else ONLY_WHEN_ASKED


def ahead(moment: dt.datetime) -> str:
    """“In 3 h”; “due now” for what has passed."""
    seconds = (moment - timezone.now()).total_seconds()
    if seconds < 1:
        return "due now"
    number, unit = watching.duration(seconds).split(" ")[:2]
    return f"in {number} {unit}"


def ago(moment: dt.datetime) -> SafeString:
    return render_to_string("operations/ago.html", {"moment": moment, "text": watching.ago(moment)})


def lasted(run: SynchronizationRun) -> str:
    """From its start to its end, or so far."""
    end = run.ended_at or timezone.now()
    return watching.duration((end - run.created_at).total_seconds())


def asker(run: SynchronizationRun) -> str:
    if run.is_scheduled:
        return "the schedule"
    return run.started_by.get_username() if run.started_by else "somebody at the terminal"


def missing_parents(names: Iterable[str]) -> dict[str, list[str]]:
    """By entity, those that it refers to and that are neither chosen nor migrated already."""
    chosen = set(names)
    needed: dict[str, list[str]] = {}
    for name in chosen:
        try:
            needed[name] = [each for each in entities.get(name).depends_on if each not in chosen]
        except UnknownEntity:
            continue
    wanted = {parent for parents in needed.values() for parent in parents}
    there = {
        parent for parent in wanted if LegacyIdMapping.objects.filter(entity_type=parent).exists()
    }
    return {
        name: missing
        for name, parents in needed.items()
        if (missing := [each for each in parents if each not in there])
    }


def missing_parents_in_words(names: Iterable[str]) -> list[str]:
    return [
        f"“{name}” refers to {joined(f'“{each}”' for each in parents)}, neither chosen nor "
        "migrated: its rows that refer there go to the quarantine. Choose more entities, or run "
        "the synchronization that brings those over first."
        for name, parents in sorted(missing_parents(names).items())
    ]


def problem(value: Any, problem: Any) -> str:
    """“x” is no number."""
    return str(problem) if value in (None, "") else f"“{value}” {problem}"
