from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.audio import codec
from generation.audio.frames import (
    MPEG_1,
    MPEG_2,
    MPEG_2_5,
    Frame,
    NotMp3,
    Shape,
    crc,
    read_frames,
    read_header,
    silent_frame,
)
from tests.generation.audio.sounds import MONO, decoded, tone

STEREO = codec.Format(sample_rate=44_100, channels=2, kbps=128)
SHAPES = [
    Shape(version, rate, channels)
    for version, rates in {
        MPEG_1: (44_100, 48_000, 32_000),
        MPEG_2: (22_050, 24_000, 16_000),
        MPEG_2_5: (11_025, 12_000, 8_000),
    }.items()
    for rate in rates
    for channels in (1, 2)
]


def frames(mp3: bytes) -> list[Frame]:
    return list(read_frames(io.BytesIO(mp3)))


@pytest.mark.parametrize("into", [MONO, STEREO, codec.Format(8_000, 1, 16)], ids=str)
def test_frames_of_what_lame_wrote_are_all_its_bytes(into: codec.Format) -> None:
    mp3 = tone(into=into)
    read = frames(mp3)
    assert b"".join(frame.data for frame in read) == mp3
    assert {frame.header.kbps for frame in read} == {into.kbps}
    assert {frame.header.shape.channels for frame in read} == {into.channels}
    assert {frame.header.shape.sample_rate for frame in read} == {into.sample_rate}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_silent_frame_of_any_shape_is_read_as_one(shape: Shape) -> None:
    data = silent_frame(shape, at_least_bytes=150)
    header = read_header(data)
    assert header is not None
    assert header.shape == shape
    assert len(data) == header.size >= 150


@pytest.mark.parametrize(
    "wrap",
    [
        lambda mp3: b"ID3\x04\x00\x00\x00\x00\x01\x02" + bytes(130) + mp3,
        lambda mp3: b"ID3\x04\x00\x10\x00\x00\x00\x02" + bytes(12) + mp3,
        lambda mp3: mp3 + b"TAG" + bytes(125),
        lambda mp3: mp3 + b"APETAGEX" + bytes(4) + (40).to_bytes(4, "little") + bytes(16 + 40),
    ],
    ids=["id3v2", "id3v2 with footer", "id3v1", "ape"],
)
def test_frames_between_tags_are_the_same(wrap) -> None:
    mp3 = tone()
    assert frames(wrap(mp3)) == frames(mp3)


@pytest.mark.parametrize(("mark", "at"), [(b"Xing", 13), (b"Info", 13), (b"VBRI", 36)])
def test_encoders_index_is_no_frame_of_sound(mark: bytes, at: int) -> None:
    mp3 = tone()
    index = bytearray(silent_frame(frames(mp3)[0].header.shape, at_least_bytes=100))
    index[at : at + 4] = mark
    assert frames(bytes(index) + mp3) == frames(mp3)


def test_frames_of_a_cut_file_say_where_it_ends() -> None:
    mp3 = tone()[:-10]
    with pytest.raises(NotMp3, match=f"ends at byte {len(mp3)}, in the middle of a frame"):
        frames(mp3)


def test_frames_with_a_byte_lost_say_where() -> None:
    mp3 = tone()
    size = frames(mp3)[0].header.size
    with pytest.raises(NotMp3, match=f"no MP3 frame at byte {size}"):
        frames(mp3[: size - 1] + mp3[size:])


@pytest.mark.parametrize("other", [bytes(8), b"RIFF....WAVE", b"\xff\xff\xff\xff", b"\xff"])
def test_frames_of_something_else_are_refused(other: bytes) -> None:
    with pytest.raises(NotMp3, match="no MP3 frame at byte 0"):
        frames(other)


@pytest.mark.parametrize("into", [MONO, STEREO], ids=str)
@pytest.mark.parametrize("steps", [-8, -1, 3])
def test_frame_amplified_sounds_louder_by_its_steps(into: codec.Format, steps: int) -> None:
    mp3 = tone(into=into)
    before, _ = decoded(mp3)
    after, _ = decoded(b"".join(frame.amplified(steps) for frame in frames(mp3)))
    assert np.allclose(after, before * 2 ** (steps / 4), atol=1e-4)


@given(steps=st.integers(-40, 40))
def test_frame_amplified_and_back_has_its_bytes_again(steps: int) -> None:
    for frame in frames(tone(seconds=0.2, into=STEREO)):
        louder = Frame(frame.header, frame.amplified(steps))
        assert len(louder.data) == frame.header.size
        assert louder.amplified(-steps) == frame.data


def test_frame_amplified_beyond_the_range_stays_in_it() -> None:
    frame = frames(tone())[10]
    loudest = Frame(frame.header, frame.amplified(1000))
    assert loudest.amplified(1) == loudest.data
    assert loudest.amplified(-1) != loudest.data
    softest = Frame(frame.header, frame.amplified(-1000))
    assert softest.amplified(-1) == softest.data
    assert softest.amplified(1) != softest.data


def test_frame_amplified_has_the_right_checksum() -> None:
    data = bytearray(silent_frame(Shape(MPEG_1, 44_100, 2), at_least_bytes=100))
    data[1] &= 0xFE  # protected
    data[6 + 5 : 6 + 32] = bytes(range(100, 127))
    header = read_header(data)
    assert header is not None
    assert header.has_crc
    louder = Frame(header, bytes(data)).amplified(2)
    assert louder[6:] != data[6:]
    assert int.from_bytes(louder[4:6], "big") == crc(louder[2:4] + louder[6 : 6 + 32])


def test_crc_gives_the_published_answer() -> None:
    assert crc(b"123456789") == 0xAEE7  # CRC-16/CMS in the catalogue of parametrised CRCs
