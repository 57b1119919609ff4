"""Speech with no network: eSpeak NG says it, LAME makes an MP3 of it.

The same text, voice and speed give the same bytes, on every call: each is said in a fresh
process (see `espeak_process` for why).
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import wave
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from generation.audio import codec
from generation.providers import espeak_process
from generation.providers.contract import ProviderBusy, ProviderFailed

PROGRAM = Path(espeak_process.__file__)
# eSpeak NG's own rate; what is said in it needs no resampling.
FORMAT = codec.Format(sample_rate=22_050, channels=1, kbps=48)
WORDS_PER_MINUTE = 175
SLOWEST, FASTEST = 0.5, 2.5
# A call takes well under a second; on a machine that is short of everything it may take longer.
TIMEOUT_SECONDS = 120
RETRY_AFTER_SECONDS = 5.0
# These come from outside and say nothing against the text.
KILLED = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}


class OfflineSpeech:
    """Robotic, free, and the same everywhere. Voices are eSpeak NG's: a language as `de` or
    `en-us`, or one with a variant as `en-us+f2`."""

    name = "offline"
    model = "espeak-ng"
    mime_type = "audio/mpeg"
    max_chars = 3000
    max_parallel = os.cpu_count() or 1
    voices: Mapping[str, str] = {"host": "en-us", "guest": "en-us+f2"}

    def sound_parameters(self, voice: str, speed: float) -> dict[str, Any]:
        return {
            "provider": self.name,
            "model": self.model,
            "model_version": version("espeakng-loader"),
            "voice": voice,
            "words_per_minute": _words_per_minute(speed),
            "format": f"mp3 {FORMAT.sample_rate} Hz, {FORMAT.channels} ch, {FORMAT.kbps} kbit/s",
            "encoder": codec.ENCODER,
        }

    def say(self, text: str, *, voice: str, speed: float = 1.0) -> bytes:
        if not text.strip():
            raise ProviderFailed(
                "provider_input",
                "There is nothing to say in an empty segment. Take it out of the script.",
            )
        sound = _synthesise(text, voice, _words_per_minute(speed))
        with wave.open(io.BytesIO(sound)) as reader:
            samples = reader.readframes(reader.getnframes())
            sample_rate = reader.getframerate()
        return codec.encode(samples, sample_rate=sample_rate, into=FORMAT)

    def cost(self, chars: int) -> Decimal:
        return Decimal(0)


def _words_per_minute(speed: float) -> int:
    if not SLOWEST <= speed <= FASTEST:
        raise ProviderFailed(
            "provider_input",
            f"The offline provider can't speak at {speed:g} times the usual speed. "
            f"Choose one from {SLOWEST:g} to {FASTEST:g}.",
        )
    return round(WORDS_PER_MINUTE * speed)


def _synthesise(text: str, voice: str, words_per_minute: int) -> bytes:
    """A WAV file."""
    request = {"text": text, "voice": voice, "words_per_minute": words_per_minute}
    try:
        # Isolated: neither the environment nor the current folder can change what it imports.
        process = subprocess.run(
            [sys.executable, "-I", str(PROGRAM)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProviderBusy(
            f"eSpeak NG took more than {TIMEOUT_SECONDS} s for one segment.", RETRY_AFTER_SECONDS
        ) from error
    status = process.returncode
    if status in KILLED:
        raise ProviderBusy("eSpeak NG was killed before it had finished.", RETRY_AFTER_SECONDS)
    if status == espeak_process.UNKNOWN_VOICE:
        raise ProviderFailed(
            "provider_request",
            f"The offline provider has no voice “{voice}”. Choose a language such as en-us or de, "
            "or one with a variant such as en-us+f2.",
        )
    if status:
        reason = process.stderr.decode(errors="replace").strip() or f"exit status {status}"
        raise ProviderFailed(
            "provider_malformed",
            f"eSpeak NG couldn't say “{text[:60]}” ({reason}). Change this place of the script, "
            "or choose another voice.",
        )
    return process.stdout
