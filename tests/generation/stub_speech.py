"""A speech provider for tests and measurements: quick, and as slow, busy or broken as it is told.

`GENERATION_SPEECH_PROVIDER=tests.generation.stub_speech.StubSpeech`. What it does is told by
the environment, so that workers in processes of their own are told as well:

    STUB_SPEECH_LOG            a file that gets a line of JSON for each call begun and ended
    STUB_SPEECH_DELAY_SECONDS  how long a call takes (0)
    STUB_SPEECH_BUSY_SHARE     how many of the calls are answered as 429 is, 0 to 1 (0)
    STUB_SPEECH_ERROR_SHARE    how many as 500 is, 0 to 1 (0)
    STUB_SPEECH_RETRY_SECONDS  Retry-After of both (0.1)
    STUB_SPEECH_SOUND_SECONDS  how long each segment is heard (0.3)
    STUB_SPEECH_MAX_CHARS      the most characters in a call (200)
    STUB_SPEECH_MAX_PARALLEL   the most calls at once (4)

A text that contains REFUSED is refused, one with MALFORMED is answered with no MP3. In the
test's own process `StubSpeech.on_call` is called with each text before it is said.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from generation.providers.contract import ProviderBusy, ProviderFailed
from tests.generation.audio.sounds import tone

PATH = "tests.generation.stub_speech.StubSpeech"
REFUSED = "unspeakable"
MALFORMED = "gibberish"
TONES = 16
USD_PER_CHAR = Decimal("0.00001")


class StubSpeech:
    """Each text is a tone; which one depends on the text and the voice."""

    name = "stub"
    model = "tone"
    mime_type = "audio/mpeg"
    voices: Mapping[str, str] = {"host": "alto", "guest": "bass"}
    on_call: ClassVar[Callable[[str], None] | None] = None

    def __init__(self) -> None:
        self.max_chars = int(_option("MAX_CHARS", 200))
        self.max_parallel = int(_option("MAX_PARALLEL", 4))

    def sound_parameters(self, voice: str, speed: float) -> dict[str, Any]:
        return {
            "provider": self.name,
            "model": self.model,
            "voice": voice,
            "speed": speed,
            "seconds": _option("SOUND_SECONDS", 0.3),
        }

    def say(self, text: str, *, voice: str, speed: float = 1.0) -> bytes:
        _log("begun", text, voice)
        if StubSpeech.on_call:
            StubSpeech.on_call(text)
        time.sleep(_option("DELAY_SECONDS", 0))
        chance = random.random()
        busy, error = _option("BUSY_SHARE", 0), _option("ERROR_SHARE", 0)
        if chance < busy + error:
            status = 429 if chance < busy else 500
            _log("busy", text, voice)
            raise ProviderBusy(f"The stub answers {status}.", _option("RETRY_SECONDS", 0.1))
        if REFUSED in text:
            _log("refused", text, voice)
            raise ProviderFailed("provider_refused", "The stub won't say that.")
        _log("said", text, voice)
        if MALFORMED in text:
            return b"this is no sound"
        which = hashlib.sha256(f"{voice} {text}".encode()).digest()[0] % TONES
        return _tone(300 + 100 * which, _option("SOUND_SECONDS", 0.3))

    def cost(self, chars: int) -> Decimal:
        return USD_PER_CHAR * chars


def calls(log: Path, what: str = "said") -> list[str]:
    """The texts of the calls so far, in their order; `what`: begun, said, busy, refused."""
    if not log.exists():
        return []
    lines = map(json.loads, log.read_text().splitlines())
    return [line["text"] for line in lines if line["what"] == what]


def _option(name: str, default: float) -> float:
    return float(os.environ.get(f"STUB_SPEECH_{name}", default))


_tone = functools.cache(lambda hertz, seconds: tone(hertz, seconds=seconds))


def _log(what: str, text: str, voice: str) -> None:
    if not (path := os.environ.get("STUB_SPEECH_LOG")):
        return
    line = {"what": what, "text": text, "voice": voice, "pid": os.getpid(), "at": time.time()}
    # One write to a file opened for appending: lines of several processes don't mix.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, (json.dumps(line) + "\n").encode())
    finally:
        os.close(file)
