"""The database's load: collectors read signals, one pure function decides.

A reading is taken at most every few seconds per process. What a signal that can't be
read means (`proceed` or `wait`) is the setting LOAD_WHEN_UNREADABLE, and it is told.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.utils import timezone

from operations.gates.verdict import Wait
from operations.kinds import Kind

logger = logging.getLogger("operations.load")

WAIT_SECONDS = 60
READ_AGAIN_AFTER_SECONDS = 5.0


class Reading(NamedTuple):
    """One signal: `value` is None when it could not be read, and `error` says why."""

    signal: str
    value: float | None
    limit: float
    unit: str
    error: str = ""


def decide(readings: list[Reading], *, when_unreadable: str) -> Wait | None:
    """Over a limit: wait. Unreadable: what the setting says."""
    for reading in readings:
        if reading.value is None:
            if when_unreadable == "wait":
                return Wait(WAIT_SECONDS, f"{reading.signal} can't be read: {reading.error}")
        elif reading.value > reading.limit:
            return Wait(
                WAIT_SECONDS,
                f"{reading.signal} {reading.value:.0f}{reading.unit} > "
                f"{reading.limit:.0f}{reading.unit}.",
            )
    return None


def active_sessions() -> Reading | None:
    """Other sessions of this database that run a statement right now."""
    limit = settings.LOAD_MAX_ACTIVE_SESSIONS
    if not limit:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'active'"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        (value,) = cursor.fetchone()
    return Reading("Active database sessions", value, limit, "")


def rds_cpu() -> Reading | None:
    """The newest minute of the RDS instance's CPUUtilization in CloudWatch, in percent."""
    instance = settings.LOAD_RDS_INSTANCE
    if not instance:
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    name, limit = "Database CPU", settings.LOAD_RDS_MAX_CPU_PERCENT
    now = timezone.now()
    try:
        answer = _cloudwatch().get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName="CPUUtilization",
            Dimensions=[{"Name": "DBInstanceIdentifier", "Value": instance}],
            StartTime=now - dt.timedelta(minutes=5),
            EndTime=now,
            Period=60,
            Statistics=["Average"],
        )
    except (BotoCoreError, ClientError) as error:
        logger.warning("CloudWatch could not be read", extra={"fields": {"error": str(error)}})
        return Reading(name, None, limit, "%", str(error))
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    if not points:
        return Reading(name, None, limit, "%", f"CloudWatch has no recent figure for {instance}")
    return Reading(name, points[-1]["Average"], limit, "%")


@lru_cache(maxsize=1)
def _cloudwatch() -> Any:
    import boto3  # imported where it is needed: it takes half a second

    return boto3.client("cloudwatch", region_name=settings.AWS_REGION)


COLLECTORS: tuple[Callable[[], Reading | None], ...] = (active_sessions, rds_cpu)

_last: tuple[float, list[Reading]] | None = None


def readings() -> list[Reading]:
    """What the collectors that are configured see, at most a few seconds old."""
    global _last
    now = time.monotonic()
    if _last is None or now - _last[0] > READ_AGAIN_AFTER_SECONDS:
        _last = (now, [reading for collect in COLLECTORS if (reading := collect())])
    return _last[1]


def forget_readings() -> None:
    """Make the next look a fresh one."""
    global _last
    _last = None


def database_load(kind: Kind[Any]) -> Wait | None:
    return decide(readings(), when_unreadable=settings.LOAD_WHEN_UNREADABLE)
