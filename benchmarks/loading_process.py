"""Our load in a process of its own, so that its memory is nobody else's."""

from __future__ import annotations


def load_in_process(in_sql: bool) -> tuple[int, float, float]:
    """Rows, seconds and peak resident memory in MB. The databases are the environment's."""
    import django

    django.setup()
    from benchmarks.loaders import load

    return load(in_sql)
