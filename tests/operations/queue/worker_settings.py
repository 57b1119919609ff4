"""Settings of the clusters that the supervisor's tests start.

A lost task comes back after seconds, not minutes. That breaks the queue's arithmetic
(E002, E006), which holds for tasks that may use their full time; these don't.
"""

import os

from config.logging import logging_config
from config.settings.test import *  # noqa: F403
from config.settings.test import Q_CLUSTER

Q_CLUSTER = {**Q_CLUSTER, "timeout": 6, "retry": 7}
SILENCED_SYSTEM_CHECKS = ["operations.E002", "operations.E006"]
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logging_config(level="INFO", style="line")

if os.environ.get("BREAK_CLUSTER") and "ENCORE_CLUSTER" in os.environ:
    raise RuntimeError("A cluster with these settings dies at its start.")
