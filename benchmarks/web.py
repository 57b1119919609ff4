"""One web process, as in production: daphne with an ASGI application. Watched for its memory.

It dies with this process's `with` block; the port is bound before it starts.
"""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

import psutil
from django.conf import settings

from config.stack import encore

STOP_SECONDS = 20.0


class WebServer:
    """Serves `application` (`module:name`) inside the `with` block. It takes connections at
    once: they wait in the socket until daphne has started."""

    def __init__(self, application: str) -> None:
        self._application = application

    def __enter__(self) -> Self:
        with encore.listen(0) as listener:
            self.address = f"{encore.HOST}:{listener.getsockname()[1]}"
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "daphne", "--verbosity", "0"),
                    *("--fd", str(listener.fileno()), self._application),
                ],
                cwd=settings.BASE_DIR,
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._seen = psutil.Process(self._process.pid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    @property
    def rss_kb(self) -> float:
        """The resident memory it has now."""
        return self._seen.memory_info().rss / 1024

    @property
    def cpu_seconds(self) -> float:
        """The processor time it has used so far."""
        times = self._seen.cpu_times()
        return times.user + times.system
