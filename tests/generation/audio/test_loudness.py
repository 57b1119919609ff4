from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from generation.audio import codec, loudness, mp3
from generation.audio.loudness import Loudness
from tests.generation.audio.sounds import MONO, decoded, tone


def sine(hertz: float, amplitude: float, *, sample_rate: int, channels: int) -> np.ndarray:
    moments = np.arange(5 * sample_rate) / sample_rate
    wave = amplitude * np.sin(2 * np.pi * hertz * moments)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def standard_weight_db(hertz: float) -> float:
    """The response of the two filters whose coefficients BS.1770 prints, for 48 kHz."""
    z = np.exp(-2j * np.pi * hertz / 48_000)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return float(20 * np.log10(abs(shelf * high_pass)))


@pytest.mark.parametrize("sample_rate", [16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("hertz", [60, 100, 440, 997, 2_000, 3_000])
def test_measure_gives_the_standards_answers(sample_rate: int, hertz: float) -> None:
    samples = sine(hertz, 0.1, sample_rate=sample_rate, channels=2)
    measured = loudness.measure_samples(samples, sample_rate)
    # On both channels at 0.1 of full scale: -20 dB, the weighting, and the standard's offset.
    expected = -20 + standard_weight_db(hertz) - 0.691
    assert measured.lufs == pytest.approx(expected, abs=0.3)
    assert measured.peak_db == pytest.approx(-20, abs=0.1)


def test_measure_of_mono_is_that_of_two_loudspeakers() -> None:
    one = loudness.measure_samples(sine(997, 0.1, sample_rate=24_000, channels=1), 24_000)
    two = loudness.measure_samples(sine(997, 0.1, sample_rate=24_000, channels=2), 24_000)
    assert one == two


def test_measure_leaves_out_pauses() -> None:
    sound = sine(997, 0.1, sample_rate=24_000, channels=1)
    with_pauses = np.concatenate([np.zeros_like(sound), sound, 0.01 * sound])
    measured = loudness.measure_samples(with_pauses, 24_000)
    assert measured.lufs == pytest.approx(-20, abs=0.5)


def test_measure_of_silence_has_no_loudness_and_asks_for_no_gain() -> None:
    silence = codec.encode(bytes(48_000), sample_rate=24_000, into=MONO)
    measured = loudness.measure(silence)
    assert measured.lufs is None
    assert loudness.gain_steps(measured) == 0


@pytest.mark.parametrize("seconds", [0.05, 0.2])
def test_measure_of_a_short_sound_is_that_of_a_long_one(seconds: float) -> None:
    sound = sine(997, 0.1, sample_rate=24_000, channels=1)
    short = loudness.measure_samples(sound[: round(seconds * 24_000)], 24_000)
    assert short.lufs is not None
    assert short.lufs > -23.5


@pytest.mark.parametrize(
    ("lufs", "peak_db", "steps"),
    [
        (-18.0, -6.0, 0),
        (-21.0, -12.0, 2),
        (-12.0, -3.0, -4),
        (-30.0, -4.0, 1),  # eight were wanted
        (-18.0, 0.5, -1),  # too loud as it is: a peak beyond full scale
        (None, -math.inf, 0),
    ],
)
def test_gain_steps_come_near_the_target_below_full_scale(
    lufs: float | None, peak_db: float, steps: int
) -> None:
    assert loudness.gain_steps(Loudness(lufs, peak_db)) == steps


def test_segments_joined_with_their_gains_are_alike(tmp_path: Path) -> None:
    sounds = [tone(997, amplitude=amplitude, seconds=2) for amplitude in (0.02, 0.1, 0.5)]
    parts = [mp3.Part(sound, loudness.gain_steps(loudness.measure(sound))) for sound in sounds]
    joined = mp3.join(parts, tmp_path / "joined.mp3")
    samples, sample_rate = decoded((tmp_path / "joined.mp3").read_bytes())
    ends = (*joined.offsets_ms[1:], joined.duration_ms)
    for start, end in zip(joined.offsets_ms, ends, strict=True):
        part = samples[start * sample_rate // 1000 : end * sample_rate // 1000, None]
        measured = loudness.measure_samples(part.astype(np.float32), sample_rate)
        assert measured.lufs == pytest.approx(loudness.TARGET_LUFS, abs=loudness.STEP_DB / 2 + 0.2)
