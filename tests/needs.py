"""What a test needs and a machine may lack.

On a developer's machine the test is skipped, and says why. In CI (`CI` is set) it runs
whatever is missing, and fails: there a skipped test would be a promise nobody checks.
"""

from __future__ import annotations

import os
import shutil

import pytest

IN_CI = bool(os.environ.get("CI"))
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "chrome") if (path := shutil.which(name))),
    None,
)
REDIS_URL = os.environ.get("REDIS_URL", "")
# A server, not a database: tests make databases of their own there.
LEGACY_MYSQL_URL = os.environ.get("LEGACY_MYSQL_URL", "")


def _needs(available: bool, reason: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not available and not IN_CI, reason=reason)


chromium = _needs(CHROMIUM is not None, "there is no Chromium on this machine")
redis = _needs(bool(REDIS_URL), "REDIS_URL is not set")
mysql = _needs(bool(LEGACY_MYSQL_URL), "LEGACY_MYSQL_URL is not set")
