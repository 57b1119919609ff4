"""Settings of the workers that the faults happen to.

FAULTS_BROKER names another broker class, for the tests in which the queue is at fault.
"""

import os

from config.settings.test import *  # noqa: F403
from config.settings.test import INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults"]

if broker := os.environ.get("FAULTS_BROKER"):
    Q_CLUSTER = {**Q_CLUSTER, "broker_class": broker}
    # A queue in the database as well, which the check can't know.
    SILENCED_SYSTEM_CHECKS = ["operations.E004"]
