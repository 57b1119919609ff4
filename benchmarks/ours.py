"""Encore's own copy, as a user's click starts it: the service, the queue, real workers."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

from django.utils import timezone

from benchmarks.figures import Timing
from benchmarks.workers import Workers
from duplication.copying import COPY_JOBS
from duplication.models import Duplication
from duplication.services import start_duplication
from duplication.stages import LINKS

DEADLINE_SECONDS = 3_600.0
# The stages that make the copy; those after them verify it.
COPYING = {*COPY_JOBS, LINKS}


class CopyFailed(Exception):
    """The duplication ended as something else than completed."""


def copy_episode(episode_id: int, *, lanes: int) -> Timing:
    """Copy with as many worker processes as lanes. The workers are up before the clock starts.

    Raises CopyFailed, WorkersStopped.
    """
    with Workers(lanes) as workers:
        begun_at = timezone.now()
        duplication = start_duplication(
            episode_id=episode_id, requested_by=None, lanes=lanes
        ).duplication

        def has_ended() -> bool:
            duplication.refresh_from_db()
            return duplication.ended_at is not None or duplication.has_status("FAILED")

        workers.wait_until(has_ended, deadline_seconds=DEADLINE_SECONDS)
    if duplication.ended_at is None or not duplication.has_status("COMPLETED"):
        raise CopyFailed(f"{duplication} {duplication.status}: {duplication.error_message}")
    spans = _spans(duplication)
    copied_at = max(end for stage, (_, end) in spans.items() if stage in COPYING)
    verifying = [span for stage, span in spans.items() if stage not in COPYING]
    verified_from, verified_at = min(verifying)[0], max(end for _, end in verifying)
    stages = {stage: (end - start).total_seconds() for stage, (start, end) in spans.items()}
    return Timing(
        copy_seconds=(copied_at - begun_at).total_seconds(),
        verification_seconds=(verified_at - verified_from).total_seconds(),
        total_seconds=(duplication.ended_at - begun_at).total_seconds(),
        waited_seconds=duplication.waited_seconds,
        stage_seconds=stages,
        worker_peak_rss_mb=workers.peak_rss_mb,
    )


def _spans(duplication: Duplication) -> dict[str, tuple[dt.datetime, dt.datetime]]:
    """Per stage, when its first job started and its last one ended."""
    times: dict[str, list[dt.datetime]] = defaultdict(list)
    for job in duplication.jobs.all():
        if job.started_at is None or job.ended_at is None:
            raise CopyFailed(f"{job} of a completed duplication has not ended.")
        times[job.stage] += [job.started_at, job.ended_at]
    return {stage: (min(of_stage), max(of_stage)) for stage, of_stage in times.items()}
