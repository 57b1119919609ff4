"""How loud a segment is, and by how much to change it so that all are heard alike.

Loudness is measured as ITU-R BS.1770-4 says (K-weighting, blocks of 400 ms, both gates), with
one shortcut: the weighting is applied to each block's spectrum, not as a filter over time. A
mono sound counts as heard from two loudspeakers, so that one target holds for both.

The change is made by `Frame.amplified` as the segments are joined, in steps of 1.505 dB and
without encoding again; the cached segment stays as the provider made it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from generation.audio import codec

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET_LUFS = -18.0  # speech, as AES TD1008 recommends
# Encoded once more by a player or a phone, peaks grow a little: room for that.
HIGHEST_PEAK_DB = -1.0
STEP_DB = 20 * math.log10(2) / 4

HOPS_PER_SECOND = 10
HOPS_PER_BLOCK = 4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
OFFSET_LUFS = -0.691


@dataclass(frozen=True)
class Loudness:
    """`lufs` is None for a segment in which nothing is heard."""

    lufs: float | None
    peak_db: float


def measure(mp3: bytes) -> Loudness:
    """The integrated loudness and the highest sample of an MP3. Raises NotMp3."""
    samples, channels, sample_rate = codec.decode(mp3)
    return measure_samples(np.asarray(samples, np.float32).reshape(-1, channels), sample_rate)


def measure_samples(samples: NDArray[np.float32], sample_rate: int) -> Loudness:
    """Of samples from -1 to 1, one row per moment, one column per channel."""
    highest = float(np.abs(samples).max(initial=0))
    peak_db = 20 * math.log10(highest) if highest else -math.inf
    blocks = _block_powers(samples, sample_rate)
    heard = blocks[blocks > _power(ABSOLUTE_GATE_LUFS)]
    if not heard.size:
        return Loudness(None, peak_db)
    heard = heard[heard > heard.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
    return Loudness(_lufs(float(heard.mean())), peak_db)


def gain_steps(loudness: Loudness, target_lufs: float = TARGET_LUFS) -> int:
    """By how many steps of 1.505 dB to change a segment, so that it is nearest to the target
    and its highest peak stays in range."""
    if loudness.lufs is None:
        return 0
    wanted = round((target_lufs - loudness.lufs) / STEP_DB)
    room = math.floor((HIGHEST_PEAK_DB - loudness.peak_db) / STEP_DB)
    return min(wanted, room)


def _block_powers(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """The weighted power of each block of 400 ms, one beginning every 100 ms."""
    hop = sample_rate // HOPS_PER_SECOND
    hops = max(1, len(samples) // hop)
    padded = np.pad(samples, ((0, max(0, hop - len(samples))), (0, 0)))
    weights = _k_weights(np.fft.rfftfreq(hop), sample_rate)
    weights[1 : -1 if hop % 2 == 0 else None] *= 2  # a real signal's negative frequencies
    powers = np.zeros(hops)
    for channel in padded[: hops * hop].T:
        spectrum = np.abs(np.fft.rfft(channel.reshape(hops, hop), axis=1)) ** 2
        powers += spectrum @ weights / hop**2
    if samples.shape[1] == 1:
        powers *= 2
    block = min(HOPS_PER_BLOCK, hops)  # a shorter sound is one block
    return np.convolve(powers, np.full(block, 1 / block), mode="valid")


def _k_weights(frequencies: NDArray[np.floating], sample_rate: int) -> NDArray[np.float64]:
    """The power gain of K-weighting at frequencies given in cycles per sample.

    The two filters of BS.1770, from their analogue prototypes, so that they hold for any
    sample rate (as in libebur128).
    """
    z = np.exp(-2j * np.pi * frequencies)

    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    q = 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = (
        (high + band * k / q + k * k)
        + 2 * (k * k - high) * z
        + (high - band * k / q + k * k) * z**2
    ) / ((1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2)

    k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    q = 0.5003270373238773
    # Not scaled to unity: the standard's own numerator is 1, -2, 1.
    high_pass = (1 - 2 * z + z**2) / (
        1
        + 2 * (k * k - 1) / (1 + k / q + k * k) * z
        + (1 - k / q + k * k) / (1 + k / q + k * k) * z**2
    )
    return np.asarray(np.abs(shelf * high_pass) ** 2, np.float64)


def _lufs(power: float) -> float:
    return OFFSET_LUFS + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - OFFSET_LUFS) / 10))
