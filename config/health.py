"""Is the process alive, and is everything there that it needs? For probes and balancers.

`/healthz` answers as long as the process does, and looks at nothing else: a restart mends
no database. `/readyz` tells each thing that must work, and why it doesn't. Both speak to
anybody, so they name no host, no user and no error text of the database; the log does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from operations.queue import heartbeat
from operations.queue.depth import queue_depth

logger = logging.getLogger(__name__)

# With the time-outs of connecting, of the pool and of the queue's broker this bounds how long an
# answer takes.
STATEMENT_TIMEOUT_MS = 3_000
QUEUE_MAX_AGE_SECONDS = 60


class Finding(NamedTuple):
    ok: bool
    why: str


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    findings = _findings()
    ready = all(finding.ok for finding in findings.values())
    return JsonResponse(
        {
            "status": "ok" if ready else "unavailable",
            "checks": {name: finding._asdict() for name, finding in findings.items()},
        },
        status=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )


def _findings() -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    for name, check in CHECKS.items():
        # Each would wait for its own time-out.
        if "database" in findings and not findings["database"].ok:
            findings[name] = Finding(False, "Not looked at: the database doesn't answer.")
        else:
            findings[name] = _checked(name, check)
    return findings


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [str(STATEMENT_TIMEOUT_MS)]
                )
            return check()
    except DatabaseError as error:
        logger.warning("Not ready", extra={"fields": {"check": name, "error": str(error).strip()}})
        return Finding(False, "The database doesn't answer.")


def _database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Finding(True, "The database answers.")


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if pending:
        return Finding(False, f"{len(pending)} migrations are not applied: manage.py migrate.")
    return Finding(True, "All migrations are applied.")


def _queue() -> Finding:
    if heartbeat.is_queue_alive(QUEUE_MAX_AGE_SECONDS):
        if queue_depth() is None:
            return Finding(False, "Workers live, but what carries their tasks doesn't answer.")
        return Finding(True, "Workers run tasks.")
    latest = heartbeat.latest_beat()
    if latest is None:
        return Finding(False, "No worker has run anything yet: manage.py run_workers.")
    return Finding(False, f"No worker has run anything since {latest:%Y-%m-%d %H:%M:%S} UTC.")


CHECKS: dict[str, Callable[[], Finding]] = {
    "database": _database,
    "migrations": _migrations,
    "queue": _queue,
}
