"""Sound to MP3 and back: LAME encodes, miniaudio (dr_mp3) decodes. Both in memory, a segment
at a time."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from importlib.metadata import version

import lameenc
import miniaudio

from generation.audio.frames import NotMp3

# Everything that makes LAME write other bytes for the same samples.
ENCODER = f"lameenc {version('lameenc')} q2"
QUALITY = 2


@dataclass(frozen=True)
class Format:
    """Of an MP3 with a constant bit rate."""

    sample_rate: int
    channels: int
    kbps: int


def encode(samples: bytes, *, sample_rate: int, into: Format) -> bytes:
    """16-bit samples, channels interleaved, as MP3 frames. The same input gives the same bytes."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(into.channels)
    encoder.set_in_sample_rate(sample_rate)
    encoder.set_out_sample_rate(into.sample_rate)
    encoder.set_bit_rate(into.kbps)
    encoder.set_quality(QUALITY)
    return bytes(encoder.encode(samples)) + bytes(encoder.flush())


def decode(mp3: bytes) -> tuple[array[float], int, int]:
    """(samples from -1 to 1 and beyond, channels interleaved; channels; sample rate).

    Beyond, because a decoder that cuts at full scale would hide a peak. Raises NotMp3.
    """
    try:
        sound = miniaudio.mp3_read_f32(mp3)
    except miniaudio.DecodeError as error:
        raise NotMp3(f"The MP3 can't be decoded: {error}.") from error
    return sound.samples, sound.nchannels, sound.sample_rate


def reencode(mp3: bytes, into: Format) -> bytes:
    """The same sound with another sample rate, number of channels and bit rate. Raises NotMp3."""
    try:
        sound = miniaudio.decode(
            mp3,
            output_format=miniaudio.SampleFormat.SIGNED16,
            nchannels=into.channels,
            sample_rate=into.sample_rate,
        )
    except miniaudio.DecodeError as error:
        raise NotMp3(f"The MP3 can't be decoded: {error}.") from error
    return encode(sound.samples.tobytes(), sample_rate=into.sample_rate, into=into)
