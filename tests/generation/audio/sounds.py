"""Sounds that can be told apart: tones, and what is heard in a decoded MP3."""

from __future__ import annotations

import numpy as np

from generation.audio import codec

MONO = codec.Format(sample_rate=24_000, channels=1, kbps=48)


def tone(
    hertz: float = 440,
    *,
    seconds: float = 1.0,
    amplitude: float = 0.25,
    into: codec.Format = MONO,
) -> bytes:
    """A sine's MP3."""
    moments = np.arange(round(seconds * into.sample_rate)) / into.sample_rate
    wave = np.round(32_767 * amplitude * np.sin(2 * np.pi * hertz * moments)).astype("<i2")
    samples = np.repeat(wave, into.channels).tobytes()
    return codec.encode(samples, sample_rate=into.sample_rate, into=into)


def decoded(mp3: bytes) -> tuple[np.ndarray, int]:
    """The first channel's samples, and how many there are in a second."""
    samples, channels, sample_rate = codec.decode(mp3)
    return np.asarray(samples).reshape(-1, channels)[:, 0], sample_rate


def heard_hertz(samples: np.ndarray, sample_rate: int) -> float:
    """The loudest frequency."""
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * sample_rate / len(samples))


def middle(samples: np.ndarray, sample_rate: int, start_ms: int, end_ms: int) -> np.ndarray:
    """The samples between two moments, without a tenth of a second at each end."""
    margin = sample_rate // 10
    return samples[start_ms * sample_rate // 1000 + margin : end_ms * sample_rate // 1000 - margin]
