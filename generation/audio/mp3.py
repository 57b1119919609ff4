"""Segments joined into one MP3, and what an MP3 measures.

Frames are copied as they are, so nothing is lost and an hour takes seconds. Only a part of
another shape (sample rate, channels) than the first, or one that begins in the middle of a
stream, is encoded again. The first frame of the result is a Xing header: the number of frames
and a table of contents, by which players know the duration and seek.

Owns neither the file's name nor its tags (`tags`), nor how loud a part should be (`loudness`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from generation.audio import codec
from generation.audio.frames import (
    HEADER_BYTES,
    Frame,
    Header,
    NotMp3,
    Shape,
    read_frames,
    silent_frame,
)

TOC_ENTRIES = 100
XING_BYTES = 4 * 4 + TOC_ENTRIES
XING_FRAMES_BYTES_AND_TOC = 7
MOST_MARKS = 4096


@dataclass(frozen=True)
class Part:
    """One segment's MP3, and by how many steps of 1.505 dB it is made louder."""

    sound: bytes
    gain_steps: int = 0


@dataclass(frozen=True)
class Joined:
    """What `join` wrote. `offsets_ms` says where each part begins."""

    duration_ms: int
    offsets_ms: tuple[int, ...]
    encoded_again: int


@dataclass(frozen=True)
class Measured:
    """An MP3's frames, counted. `kbps` is their mean."""

    duration_ms: int
    frames: int
    shape: Shape
    kbps: float


def measure(stream: BinaryIO) -> Measured:
    """Walk all frames of an MP3, in constant memory.

    Raises NotMp3 where something else is among them, where the last one is cut, and where
    there is none.
    """
    frames = size = 0
    shape = None
    for frame in read_frames(stream):
        shape = shape or frame.header.shape
        frames += 1
        size += frame.header.size
    if shape is None:
        raise NotMp3("There is no sound in the MP3.")
    seconds = frames * shape.samples / shape.sample_rate
    return Measured(round(seconds * 1000), frames, shape, size * 8 / 1000 / seconds)


def join(parts: Iterable[Part], target: Path) -> Joined:
    """Write the parts, one behind the other, as one MP3 to `target`, replacing what is there.

    Takes one part at a time from `parts`: memory is one part's, however many there are. The
    result has the first part's shape. The same parts give the same bytes. Not atomic: until it
    returns, `target` is half a file. Raises NotMp3 that names the part, counted from 1.
    """
    model: Header | None = None
    index = _Index()
    starts = []
    encoded_again = 0
    with target.open("wb") as file:
        for number, part in enumerate(parts, start=1):
            try:
                frames, again = _fitting_frames(part.sound, model)
            except NotMp3 as error:
                raise NotMp3(f"Part {number}: {error}") from error
            encoded_again += again
            if model is None:
                model = frames[0].header
                file.write(_empty_index(model))  # its place, until all is known
            starts.append(index.frames)
            for frame in frames:
                index.add(frame.header)
                file.write(frame.amplified(part.gain_steps))
        if model is None:
            raise NotMp3("There are no parts to join.")
        file.seek(0)
        file.write(index.as_frame(model))
    return Joined(
        duration_ms=_milliseconds(index.frames, model.shape),
        offsets_ms=tuple(_milliseconds(start, model.shape) for start in starts),
        encoded_again=encoded_again,
    )


def _milliseconds(frames: int, shape: Shape) -> int:
    return round(frames * shape.samples * 1000 / shape.sample_rate)


def _fitting_frames(sound: bytes, model: Header | None) -> tuple[list[Frame], bool]:
    """The part's frames, and whether it had to be encoded again to stand behind the others."""
    frames = list(read_frames(io.BytesIO(sound)))
    if not frames:
        raise NotMp3("There is no sound in the MP3.")
    wanted = model or frames[0].header
    shapes = {frame.header.shape for frame in frames}
    # What the first frame borrows would come from the part before it: noise.
    if shapes == {wanted.shape} and not frames[0].borrowed_bytes:
        return frames, False
    into = codec.Format(wanted.shape.sample_rate, wanted.shape.channels, wanted.kbps)
    return list(read_frames(io.BytesIO(codec.reencode(sound, into)))), True


class _Index:
    """Where the frames are. Keeps every n-th place, n growing, so that its size stays."""

    def __init__(self) -> None:
        self.frames = 0
        self._bytes = 0
        self._marks: list[int] = []
        self._frames_per_mark = 1
        self._kbps: set[int] = set()

    def add(self, header: Header) -> None:
        if self.frames % self._frames_per_mark == 0:
            self._marks.append(self._bytes)
            if len(self._marks) == MOST_MARKS:
                self._marks = self._marks[::2]
                self._frames_per_mark *= 2
        self.frames += 1
        self._bytes += header.size
        self._kbps.add(header.kbps)

    def as_frame(self, model: Header) -> bytes:
        """A silent frame that says what `add` was told."""
        frame = bytearray(_empty_index(model))
        size = len(frame) + self._bytes
        toc = bytearray()
        for percent in range(TOC_ENTRIES):
            mark = percent * self.frames // (100 * self._frames_per_mark)
            toc.append((len(frame) + self._marks[mark]) * 256 // size)
        content = b"".join(
            (
                b"Info" if len(self._kbps) == 1 else b"Xing",  # Info: one bit rate throughout
                XING_FRAMES_BYTES_AND_TOC.to_bytes(4, "big"),
                self.frames.to_bytes(4, "big"),
                size.to_bytes(4, "big"),
                toc,
            )
        )
        at = _index_at(model)
        frame[at : at + XING_BYTES] = content
        return bytes(frame)


def _index_at(model: Header) -> int:
    return HEADER_BYTES + model.shape.side_bytes


def _empty_index(model: Header) -> bytes:
    return silent_frame(model.shape, at_least_bytes=_index_at(model) + XING_BYTES)
