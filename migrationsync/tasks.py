"""The queue's door to the migration: ids in, one call, nothing else."""

from __future__ import annotations

import datetime as dt
import uuid

from migrationsync.services import running


def run_scheduled(job_id: str, moment: str = "") -> str:
    due = dt.datetime.fromisoformat(moment) if moment else None
    return running.run_scheduled(uuid.UUID(job_id), moment=due)
