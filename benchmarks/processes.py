"""Ours in a process of its own, so that its memory is nobody else's. The databases are the
environment's."""

from __future__ import annotations

import resource
from pathlib import Path


def load_in_process(in_sql: bool) -> tuple[int, float, float]:
    """Rows, seconds and peak resident memory in MB."""
    import django

    django.setup()
    from benchmarks.loaders import load

    return *load(in_sql), peak_rss_mb()


def differ_in_process() -> tuple[float, set[int], float]:
    """Seconds, the legacy ids that differ, and peak resident memory in MB."""
    import django

    django.setup()
    from benchmarks.differing import differential

    return *differential(), peak_rss_mb()


def peak_rss_mb() -> float:
    """Of this process alone: what `getrusage` says on Linux begins with its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [each for each in status.read_text().splitlines() if each.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
