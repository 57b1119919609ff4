from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from generation.audio import loudness, mp3
from generation.providers import offline_speech
from generation.providers.contract import ProviderBusy, ProviderFailed
from generation.providers.offline_speech import OfflineSpeech
from tests.generation.audio.sounds import decoded

TEXT = "The heart pumps about five litres of blood each minute."


def say(text: str = TEXT, voice: str = "en-us", speed: float = 1.0) -> bytes:
    return OfflineSpeech().say(text, voice=voice, speed=speed)


def duration_ms(sound: bytes) -> int:
    return mp3.measure(io.BytesIO(sound)).duration_ms


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let another program stand in for eSpeak NG."""
    path = tmp_path / "program.py"
    path.write_text(code)
    monkeypatch.setattr(offline_speech, "PROGRAM", path)


def test_say_makes_speech_that_is_heard() -> None:
    sound = say()
    assert 2_000 < duration_ms(sound) < 6_000
    lufs = loudness.measure(sound).lufs
    assert lufs is not None
    assert lufs > -30


def test_say_gives_the_same_bytes_for_the_same_input_however_many_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: say(), range(6)))) == 1


def test_say_gives_each_speaker_a_voice_of_their_own() -> None:
    voices = OfflineSpeech.voices
    assert set(voices) == {"host", "guest"}
    assert say(voice=voices["host"]) != say(voice=voices["guest"])


@pytest.mark.parametrize("voice", ["de", "fr", "en-us+m3", "de+f2"])
def test_say_knows_other_languages_and_variants(voice: str) -> None:
    assert duration_ms(say("Das Herz schlägt – naïve, 循環.", voice)) > 500


def test_say_faster_is_shorter() -> None:
    assert duration_ms(say(speed=2.0)) < 0.7 * duration_ms(say()) < duration_ms(say(speed=0.7))


def test_say_as_much_as_it_may_says_all_of_it() -> None:
    sentences = OfflineSpeech.max_chars // len(f"{TEXT} ")
    sound = say(" ".join([TEXT] * sentences))
    assert duration_ms(sound) == pytest.approx(sentences * duration_ms(say()), rel=0.2)


def test_say_takes_markup_for_words() -> None:
    assert duration_ms(say(f"<prosody rate='x-fast'>{TEXT}</prosody>")) > duration_ms(say())


def test_say_in_an_unknown_voice_names_ones_there_are() -> None:
    with pytest.raises(ProviderFailed, match=r"no voice “nobody”.*en-us") as failed:
        say(voice="nobody")
    assert failed.value.code == "provider_request"


@pytest.mark.parametrize("text", ["", " \n"])
def test_say_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(ProviderFailed, match="nothing to say") as failed:
        say(text)
    assert failed.value.code == "provider_input"


@pytest.mark.parametrize("speed", [0.4, 3])
def test_say_at_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ProviderFailed, match=r"from 0\.5 to 2\.5"):
        say(speed=speed)


def test_say_killed_from_outside_is_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ProviderBusy, match="killed"):
        say()


def test_say_that_takes_too_long_is_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "import signal; signal.pause()")
    monkeypatch.setattr(offline_speech, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(ProviderBusy, match="more than"):
        say()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.abort()", "exit status -6"),
        ("import sys; sys.exit('No data.')", r"No data\."),
    ],
)
def test_say_that_crashes_is_a_failure_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    program(tmp_path, monkeypatch, code)
    with pytest.raises(ProviderFailed, match=f"{reason}.*Change this place") as failed:
        say()
    assert failed.value.code == "provider_malformed"


def test_sound_parameters_tell_voices_and_speeds_apart() -> None:
    provider = OfflineSpeech()
    parameters = [
        provider.sound_parameters(voice, speed)
        for voice in provider.voices.values()
        for speed in (1.0, 1.5)
    ]
    assert len({json.dumps(each, sort_keys=True) for each in parameters}) == 4
    assert all("lameenc 1." in each["encoder"] for each in parameters)


def test_speakers_joined_are_heard_alike(tmp_path: Path) -> None:
    sounds = [say(f"{TEXT} {TEXT}", voice) for voice in OfflineSpeech.voices.values()]
    measured = [loudness.measure(sound) for sound in sounds]
    joined = mp3.join(
        [
            mp3.Part(sound, loudness.gain_steps(each))
            for sound, each in zip(sounds, measured, strict=True)
        ],
        tmp_path / "joined.mp3",
    )
    assert joined.encoded_again == 0
    samples, sample_rate = decoded((tmp_path / "joined.mp3").read_bytes())
    border = joined.offsets_ms[1] * sample_rate // 1000
    host, guest = (
        loudness.measure_samples(part[:, None].astype(np.float32), sample_rate).lufs
        for part in (samples[:border], samples[border:])
    )
    assert host is not None
    assert guest == pytest.approx(host, abs=loudness.STEP_DB)


def test_cost_is_nothing() -> None:
    assert OfflineSpeech().cost(1_000_000) == 0
