"""Where a segment's sound is kept: a folder for each key, a file named by its content.

The file is there before its row says so. Who takes over from one that died looks here first:
what was paid for is found again.
"""

from __future__ import annotations

import hashlib
import io

from generation import files

FOLDER = "generation/sounds"


def keep(key: str, sound: bytes) -> str:
    """Store a key's sound; its name. Idempotent. Raises what `files.put` raises."""
    name = f"{_folder(key)}/{hashlib.sha256(sound).hexdigest()}.mp3"
    files.put(name, io.BytesIO(sound))
    return name


def find(key: str) -> bytes | None:
    """What was kept for the key and is whole. What isn't is removed: saving a file isn't atomic
    in every storage."""
    for name in files.listed(_folder(key)):
        if sound := read(name):
            return sound
        files.delete(name)
    return None


def read(name: str) -> bytes | None:
    """The sound, or None where it isn't there or isn't what its name says."""
    if not name:
        return None
    try:
        sound = files.read(name)
    except FileNotFoundError:
        return None
    return sound if hashlib.sha256(sound).hexdigest() == files.named_checksum(name) else None


def remove(key: str) -> None:
    """Delete whatever was kept for the key, its folder too. Idempotent; whoever calls it has
    the key's claim."""
    for name in files.listed(_folder(key)):
        files.delete(name)
    files.delete(_folder(key))  # empty now; on S3 there is no such thing


def _folder(key: str) -> str:
    return f"{FOLDER}/{key[:2]}/{key}"
