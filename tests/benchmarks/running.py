"""A benchmark as a user runs it: one command, on the running test's server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from tests.processes import database_url

DEADLINE_SECONDS = 180


class Finished(NamedTuple):
    report: dict[str, Any]
    printed: str


def run_benchmark(name: str, output: Path, *arguments: str) -> Finished:
    """`python -m benchmarks.<name>`, to its end; what it wrote and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--output", str(output)],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings.base",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    return Finished(json.loads(output.read_text()), printed)
