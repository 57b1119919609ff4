"""The CPU of an RDS instance, from CloudWatch."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone

from operations.gates.load.reading import Collector, Figure, Unreadable

# A point a minute, there a minute or two later.
PERIOD_SECONDS = 60
LOOK_BACK = dt.timedelta(minutes=5)
# A worker holds a lease and a page its reader while it looks: all tries together are short.
CONNECT_SECONDS, READ_SECONDS, TRIES = 1, 2, 2


class RdsCpu(Collector):
    """The newest minute of the instance's CPUUtilization, in percent."""

    signal: ClassVar[str] = "Database CPU"
    unit: ClassVar[str] = "%"
    configured_by: ClassVar[str] = "LOAD_RDS_INSTANCE"
    read_again_after_seconds: ClassVar[float] = 30.0

    def limit(self) -> float | None:
        return settings.LOAD_RDS_MAX_CPU_PERCENT if settings.LOAD_RDS_INSTANCE else None

    def read(self) -> Figure:
        instance, now = settings.LOAD_RDS_INSTANCE, timezone.now()
        try:
            answer = _client().get_metric_statistics(
                Namespace="AWS/RDS",
                MetricName="CPUUtilization",
                Dimensions=[{"Name": "DBInstanceIdentifier", "Value": instance}],
                StartTime=now - LOOK_BACK,
                EndTime=now,
                Period=PERIOD_SECONDS,
                Statistics=["Average"],
            )
        except Exception:
            # A client keeps the credentials it was made with: the next look has new ones.
            _client.cache_clear()
            raise
        if not answer["Datapoints"]:
            raise Unreadable(
                f"CloudWatch has no figure of the last {LOOK_BACK.seconds // 60} minutes for "
                f"{instance} in {settings.AWS_REGION}: check LOAD_RDS_INSTANCE and AWS_REGION."
            )
        newest = max(answer["Datapoints"], key=lambda point: point["Timestamp"])
        return Figure(newest["Average"], at=newest["Timestamp"])


@lru_cache(maxsize=1)
def _client() -> Any:
    # Imported where they are needed: half a second.
    from boto3.session import Session
    from botocore.config import Config

    # A session of its own: boto3's shared one isn't for several threads.
    return Session().client(
        "cloudwatch",
        region_name=settings.AWS_REGION,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
        ),
    )
