"""Files being copied by real workers that are killed."""

import signal
from contextlib import suppress

import psutil
import pytest

from duplication.services import start_duplication
from tests.duplication.media.conftest import BUCKET, episode_with, named, put, read
from tests.processes import start_process, wait_until

__all__ = ["start_process"]

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

FILES = 300
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": "2",
    "OPERATION_TIME_BUDGET_SECONDS": "2",
    "AWS_STORAGE_BUCKET_NAME": BUCKET,
}


def test_workers_killed_while_they_copy_files_are_gone_on_from(s3, start_process):
    names = [put(f"{number}.mp3", b"%d" % number) for number in range(FILES)]
    duplication, _ = start_duplication(
        episode_id=episode_with(*names).pk, requested_by=None, media_strategy="copy"
    )
    workers = start_process("run_workers", "--workers", "2", environment=ENVIRONMENT)

    wait_until(lambda: duplication.media_files.filter(status="copied").exists(), "some are copied")
    for process in psutil.Process(workers.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    killed_at = duplication.media_files.filter(status="copied").count()
    assert killed_at < FILES

    def ended():
        duplication.refresh_from_db()
        return not duplication.is_active

    wait_until(ended, "the duplication ends", deadline_seconds=120)
    assert duplication.status == "completed", duplication.error_message
    assert duplication.report["media"]["files"] == FILES
    copies = named(duplication.new_episode)
    assert [read(name) for name in copies[:20]] == [b"%d" % number for number in range(20)]
    kept = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="copies/")
    assert sum(page["KeyCount"] for page in kept) == len(set(copies)) == FILES
