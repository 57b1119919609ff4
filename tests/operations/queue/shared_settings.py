"""Settings of clusters that share the load: toy steps take a while and tell who ran them."""

from config.logging import logging_config
from config.settings.test import *  # noqa: F403
from config.settings.test import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.operations.queue.shared_work.SharedWorkConfig"]
OPERATION_MAX_CONCURRENT_JOBS = 3
# A test may shorten the queue's times: its tasks take far less than they may.
SILENCED_SYSTEM_CHECKS = ["operations.E002", "operations.E006"]
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logging_config(level="INFO", style="line")
