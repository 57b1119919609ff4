"""The provider that generations are measured with, and the least that calls it.

The provider is the tests' stub: a call takes its time, and answers 429 and 500 as often as it
is told, by the environment. `python -m benchmarks.speaking` is the opponent, in a process of its
own as a worker is: the same calls, as many at once, and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PROVIDER = "tests.generation.stub_speech.StubSpeech"
PREFIX = "STUB_SPEECH_"
LOG = f"{PREFIX}LOG"


class Said(NamedTuple):
    """One call's text and voice."""

    text: str
    voice: str


class Stub(NamedTuple):
    """What the provider is told. Shares are of its calls, 0 to 1."""

    delay_seconds: float = 0.0
    busy_share: float = 0.0
    error_share: float = 0.0
    retry_seconds: float = 0.1
    sound_seconds: float = 1.0
    max_parallel: int = 4

    @contextmanager
    def told(self, log: Path | None = None) -> Iterator[None]:
        """In here, and in processes that are started in here. `log` is kept by the stub."""
        variables = {
            f"{PREFIX}{name.upper()}": str(value) for name, value in self._asdict().items()
        }
        if log:
            variables[LOG] = str(log)
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def calls(log: Path, what: str) -> Counter[Said]:
    """How often each was answered so: “said” and so paid for, or “busy”, for a 429 or a 500."""
    lines = map(json.loads, log.read_text().splitlines())
    return Counter(Said(line["text"], line["voice"]) for line in lines if line["what"] == what)


def say_all(texts: Sequence[Said]) -> float:
    """Seconds that the bare calls took, the start of their process left out."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.speaking"],
        input=json.dumps(texts),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(ended.stdout)


# --- the process ----------------------------------------------------------------------------


def main() -> int:
    from django.utils.module_loading import import_string

    speech = import_string(PROVIDER)()
    texts = json.load(sys.stdin)
    begun = time.monotonic()
    with ThreadPoolExecutor(speech.max_parallel) as pool:
        for _ in pool.map(lambda each: speech.say(each[0], voice=each[1]), texts):
            pass
    sys.stdout.write(f"{time.monotonic() - begun}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
