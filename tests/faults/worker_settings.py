"""Settings of the workers that the faults happen to.

FAULTS_BROKER names another broker class, for the tests in which the queue is at fault.
"""

import os

from config.legacy import legacy_database
from config.settings.test import *  # noqa: F403
from config.settings.test import DATABASES, INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults"]

# The test's own, that the settings of the suite leave out.
if url := os.environ.get("LEGACY_DATABASE_URL"):
    DATABASES = {**DATABASES, "legacy": legacy_database(url)}

if broker := os.environ.get("FAULTS_BROKER"):
    Q_CLUSTER = {**Q_CLUSTER, "broker_class": broker}
    # A queue in the database as well, which the check can't know.
    SILENCED_SYSTEM_CHECKS = ["operations.E004"]
