"""MPEG audio layer III, frame by frame: what a header says, and a frame's gain.

Owns the format's arithmetic (ISO/IEC 11172-3 and 13818-3, and MPEG 2.5). Decodes no sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

MPEG_1, MPEG_2, MPEG_2_5 = 3, 2, 0  # as the header writes them
LAYER_3 = 1
MONO = 3
HEADER_BYTES = 4
SAMPLE_RATES = {
    MPEG_1: (44_100, 48_000, 32_000),
    MPEG_2: (22_050, 24_000, 16_000),
    MPEG_2_5: (11_025, 12_000, 8_000),
}
KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
INDEX_MARKS = (b"Xing", b"Info")
VBRI_AT = 36
ID3_HEADER_BYTES = 10
ID3_FOOTER_FLAG = 0x10
APE_BYTES = 32
GAIN_BITS_IN = 21  # behind part2_3_length and big_values


class NotMp3(ValueError):
    """The bytes aren't whole MP3 frames. The message says where, and what is there."""


@dataclass(frozen=True)
class Shape:
    """What all frames of one file must have in common to be played as one sound."""

    version: int
    sample_rate: int
    channels: int

    @property
    def samples(self) -> int:
        """In one frame, per channel."""
        return 1152 if self.version == MPEG_1 else 576

    @property
    def side_bytes(self) -> int:
        if self.version == MPEG_1:
            return 17 if self.channels == 1 else 32
        return 9 if self.channels == 1 else 17

    @property
    def gain_bits(self) -> tuple[int, ...]:
        """Where the gains are in the side information, in bits: one per granule and channel."""
        if self.version == MPEG_1:
            first = 9 + (5 if self.channels == 1 else 3) + 4 * self.channels
            return tuple(first + 59 * n + GAIN_BITS_IN for n in range(2 * self.channels))
        first = 8 + self.channels
        return tuple(first + 63 * n + GAIN_BITS_IN for n in range(self.channels))


@dataclass(frozen=True)
class Header:
    """A frame's first four bytes, read."""

    shape: Shape
    kbps: int
    size: int
    has_crc: bool

    @property
    def side_at(self) -> int:
        return HEADER_BYTES + (2 if self.has_crc else 0)


@dataclass(frozen=True)
class Frame:
    header: Header
    data: bytes

    @property
    def is_index(self) -> bool:
        """Whether it is no sound but an encoder's table of contents (Xing, Info, VBRI)."""
        at = self.header.side_at + self.header.shape.side_bytes
        # Encoders write the mark where it is without a checksum, even if there is one.
        marks = (self.data[at : at + 4], self.data[at - 2 : at + 2])
        return any(mark in INDEX_MARKS for mark in marks) or (
            self.data[VBRI_AT : VBRI_AT + 4] == b"VBRI"
        )

    @property
    def borrowed_bytes(self) -> int:
        """How far its sound begins in the frames before it (the bit reservoir)."""
        side = self.header.side_at
        if self.header.shape.version == MPEG_1:
            return int.from_bytes(self.data[side : side + 2], "big") >> 7
        return self.data[side]

    def amplified(self, steps: int) -> bytes:
        """Its bytes, louder by `steps` of 1.505 dB (softer where negative), nothing decoded.

        The field `global_gain` multiplies all of a granule: that is how mp3gain works. Steps
        back give the same bytes again, unless the gain reached an end of its range.
        """
        if not steps:
            return self.data
        data = bytearray(self.data)
        side = self.header.side_at
        for bit in self.header.shape.gain_bits:
            byte, within = side + bit // 8, bit % 8
            pair = int.from_bytes(data[byte : byte + 2], "big")
            gain = pair >> (8 - within) & 0xFF
            if gain:  # 0 is silence, and stays so
                changed = max(1, min(255, gain + steps))
                pair ^= (gain ^ changed) << (8 - within)
                data[byte : byte + 2] = pair.to_bytes(2, "big")
        if self.header.has_crc:
            covered = data[2:4] + data[side : side + self.header.shape.side_bytes]
            data[4:6] = crc(covered).to_bytes(2, "big")
        return bytes(data)


def read_header(data: bytes) -> Header | None:
    """What the four bytes say; None when they begin no frame of layer III."""
    word = int.from_bytes(data[:4], "big")
    if len(data) < 4 or word >> 21 != 0x7FF:
        return None
    # Private, copyright and original bits, and how stereo is coded, make no other header.
    return _read_header(word & 0xFFFFFEC0)


@cache
def _read_header(word: int) -> Header | None:
    version, layer = word >> 19 & 3, word >> 17 & 3
    kbps_index, rate_index = word >> 12 & 15, word >> 10 & 3
    if version not in SAMPLE_RATES or layer != LAYER_3 or rate_index == 3:
        return None
    if kbps_index in (0, 15):  # 0 is "free format", which no encoder of speech writes
        return None
    kbps = (KBPS_1 if version == MPEG_1 else KBPS_2)[kbps_index]
    rate = SAMPLE_RATES[version][rate_index]
    shape = Shape(version, rate, channels=1 if word >> 6 & 3 == MONO else 2)
    size = shape.samples // 8 * kbps * 1000 // rate + (word >> 9 & 1)
    return Header(shape, kbps, size, has_crc=not word >> 16 & 1)


def silent_frame(shape: Shape, *, at_least_bytes: int) -> bytes:
    """The smallest frame of this shape that has room for so many bytes, all zero but its header."""
    table = KBPS_1 if shape.version == MPEG_1 else KBPS_2
    for kbps_index in range(1, len(table)):
        word = (
            0x7FF << 21
            | shape.version << 19
            | LAYER_3 << 17
            | 1 << 16  # no checksum
            | kbps_index << 12
            | SAMPLE_RATES[shape.version].index(shape.sample_rate) << 10
            | (MONO if shape.channels == 1 else 0) << 6
        )
        start = word.to_bytes(4, "big")
        header = read_header(start)
        if header and header.size >= at_least_bytes:
            return start.ljust(header.size, b"\0")
    raise ValueError(f"No frame of {shape} has {at_least_bytes} bytes.")


def read_frames(stream: BinaryIO) -> Iterator[Frame]:
    """The frames of sound, one at a time: tags and the encoder's table of contents left out.

    Raises NotMp3 at the first byte that belongs to neither, and when the last frame is cut.
    """
    position = 0
    first = True
    while start := stream.read(4):
        header = read_header(start)
        if header is None:
            position += _skip_tag(stream, start, position)
            continue
        data = start + stream.read(header.size - 4)
        if len(data) < header.size:
            raise NotMp3(f"The MP3 ends at byte {position + len(data)}, in the middle of a frame.")
        position += header.size
        frame = Frame(header, data)
        if not (first and frame.is_index):
            yield frame
        first = False


def _skip_tag(stream: BinaryIO, start: bytes, position: int) -> int:
    """Read past the tag that begins with `start`; the bytes it took."""
    if start[:3] == b"ID3":
        head = start + stream.read(ID3_HEADER_BYTES - 4)
        if len(head) == ID3_HEADER_BYTES:
            size = 0
            for byte in head[6:]:
                size = size << 7 | byte & 0x7F
            size += ID3_HEADER_BYTES * bool(head[5] & ID3_FOOTER_FLAG)
            return ID3_HEADER_BYTES + len(stream.read(size))
    if start[:3] == b"TAG":
        return 4 + len(stream.read(128 - 4))
    if start == b"APET":
        head = start + stream.read(APE_BYTES - 4)
        size = int.from_bytes(head[12:16], "little")  # the header itself isn't counted
        return APE_BYTES + len(stream.read(size))
    raise NotMp3(f"There is no MP3 frame at byte {position}, but {start.hex(' ')}.")


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x8005 if value & 0x8000 else 0)) & 0xFFFF
        table.append(value)
    return tuple(table)


def crc(data: bytes | bytearray) -> int:
    """The checksum of a protected frame, over the header's end and the side information."""
    table = _crc_table()
    value = 0xFFFF
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ table[value >> 8 ^ byte]
    return value
