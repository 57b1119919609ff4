"""When a job recurs: django-q2's Schedule, one row for each job that has one.

Owns that row, the arithmetic of moments and their words. The queue's scheduler delivers a tick
when `next_run` has come, one however many were missed, and names the moment it was meant for;
what a tick does is `services.running.run_scheduled`.

A bad Schedule would stop every schedule there is, so `check` lets nothing pass for which a next
run can't be computed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from cron_descriptor import ExpressionDescriptor, Options
from croniter import croniter
from croniter.croniter import CroniterError
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_q.models import Schedule

from migrationsync.models import SynchronizationJob

TASK = "migrationsync.tasks.run_scheduled"
# The keyword by which a tick is told the moment it was meant for.
MOMENT = "moment"

# What every cron knows. croniter knows more: moments by chance, seconds, a last Friday.
_ITEM = r"(\*|\d+(-\d+)?|[A-Za-z]{3}(-[A-Za-z]{3})?)(/\d+)?"
_FIELD = re.compile(rf"{_ITEM}(,{_ITEM})*")
FIELDS = 5


def check(config: Mapping[str, Any]) -> None:
    """Raises ValidationError for a schedule that has no next run. `config` is as the field's
    JSON schema says."""
    cron = config.get("cron")
    if cron is None:
        return
    example = "“30 2 * * *” is every day at 02:30."
    fields = cron.split()
    if len(fields) != FIELDS:
        raise _refused(
            f"“{cron}” has {len(fields)} fields where a cron expression has five: minute, hour, "
            f"day of the month, month, day of the week. {example}"
        )
    for field in fields:
        if not _FIELD.fullmatch(field):
            raise _refused(f"“{field}” in “{cron}” isn't understood. {example}")
    try:
        next_runs(config)
    except CroniterError as error:
        raise _refused(f"“{cron}” has no next run ({str(error).strip('.')}). {example}") from error


def next_runs(
    job_or_config: SynchronizationJob | Mapping[str, Any],
    *,
    number: int = 5,
    after: dt.datetime | None = None,
) -> list[dt.datetime]:
    """The next moments, in the installation's time zone; none without a schedule.

    An expression that names its hour and minute runs once a day also on the days when the clocks
    change: at the next moment there is where its own is left out, at the first where it comes
    twice. One with “*” in either goes by the clock.

    A job's minutes are counted from its `next_run_at`; a bare configuration's, from `after`.
    """
    after = timezone.localtime(after or timezone.now())
    config: Mapping[str, Any]
    if isinstance(job_or_config, SynchronizationJob):
        config, base = job_or_config.schedule_config, job_or_config.next_run_at
    else:
        config, base = job_or_config, None
    if "interval_minutes" in config:
        every = dt.timedelta(minutes=config["interval_minutes"])
        base = base or after + every
        first = base if base > after else base + every * ((after - base) // every + 1)
        # As moments, whatever the clocks do meanwhile.
        first = first.astimezone(dt.UTC)
        return [timezone.localtime(first + every * i) for i in range(number)]
    found: list[dt.datetime] = []
    while "cron" in config and len(found) < number:
        after = croniter(config["cron"], after).get_next(dt.datetime)
        if not _is_again(config["cron"], after):
            found.append(after)
    return found


def in_words(config: Mapping[str, Any]) -> str:
    """“At 02:30, every day (Europe/Berlin)”; empty without a schedule."""
    if "interval_minutes" in config:
        minutes = config["interval_minutes"]
        return "Every minute" if minutes == 1 else f"Every {minutes:,} minutes"
    if "cron" not in config:
        return ""
    options = Options()
    options.verbose = True
    options.use_24hour_time_format = True
    words = ExpressionDescriptor(config["cron"], options).get_description()
    return f"{words} ({timezone.get_default_timezone_name()})"


def keep(job: SynchronizationJob, *, anew: bool = False) -> dt.datetime | None:
    """See to it that the job's Schedule is there, its row locked; returns the next run.

    `anew`: the schedule has changed, and is counted from now on. Else one that is there stays
    as it is.
    """
    schedule = Schedule.objects.filter(name=_name(job)).first()
    if schedule is not None and not anew:
        return job.next_run_at
    [following] = next_runs(job.schedule_config, number=1)
    Schedule.objects.filter(name=_name(job)).delete()
    is_cron = "cron" in job.schedule_config
    schedule = Schedule(
        name=_name(job),
        func=TASK,
        args=repr(str(job.pk)),
        intended_date_kwarg=MOMENT,
        schedule_type=Schedule.CRON if is_cron else Schedule.MINUTES,
        cron=job.schedule_config.get("cron"),
        minutes=job.schedule_config.get("interval_minutes"),
        next_run=following,
    )
    schedule.save()
    return following


def remove(job: SynchronizationJob) -> None:
    Schedule.objects.filter(name=_name(job)).delete()


def following(job: SynchronizationJob, moment: dt.datetime) -> dt.datetime:
    """The run behind the one that was meant for `moment`, and not in the past."""
    now = timezone.now()
    if "interval_minutes" in job.schedule_config:
        every = dt.timedelta(minutes=job.schedule_config["interval_minutes"])
        return moment + every * max((now - moment) // every + 1, 1)
    [found] = next_runs(job.schedule_config, number=1, after=max(moment, now))
    return found


def _is_again(cron: str, moment: dt.datetime) -> bool:
    """Whether a fixed time of the day comes the second time, the clocks having been set back."""
    minute, hour, *_ = cron.split()
    if minute.startswith("*") or hour.startswith("*"):
        return False
    return bool(moment.fold) and moment.replace(fold=0).utcoffset() != moment.utcoffset()


def _name(job: SynchronizationJob) -> str:
    return f"sync:{job.pk}"


def _refused(message: str) -> ValidationError:
    return ValidationError({"schedule_config": message})
