"""Settings and Django for a benchmark, pointed at the benchmark's own database.

Owns where a benchmark finds its server, and that it ends like Ctrl-C when it is terminated.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.databases import Databases


def set_up() -> Databases:
    """Call first, before anything of Django is imported. Nothing is created yet."""
    # Ends like Ctrl-C: the databases are dropped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    from config.env import env

    url = env("DATABASE_URL")
    if not url:
        from config import embedded_postgres

        url = embedded_postgres.ensure_running()
    from benchmarks.databases import Databases

    databases = Databases(url)
    databases.export()
    import django

    django.setup()
    return databases
