"""Which sound is which: a key of everything that shapes it."""

from __future__ import annotations

import hashlib
import json

from generation.providers.contract import SpeechProvider
from generation.script.script import Script
from generation.script.segments import Segment, split

# Shorter than providers allow: a smaller unit is made again when one word is edited.
SEGMENT_CHARS = 1_000


def segments_of(script: Script, speech: SpeechProvider) -> list[Segment]:
    """What is said in one call each."""
    return split(script, min(speech.max_chars, SEGMENT_CHARS))


def cache_key(speech: SpeechProvider, text: str, voice: str, speed: float) -> str:
    """SHA-256, in hex, of the provider's `sound_parameters` and the text."""
    described = {**speech.sound_parameters(voice, speed), "text": text}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
