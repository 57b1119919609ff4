from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from generation.audio import codec, mp3
from generation.audio.frames import Frame, NotMp3, read_frames
from tests.generation.audio.sounds import MONO, decoded, heard_hertz, middle, tone

HERTZ = (300, 700, 1_500)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "joined.mp3"


def frames(sound: bytes) -> list[Frame]:
    return list(read_frames(io.BytesIO(sound)))


def heard(target: Path, joined: mp3.Joined) -> list[float]:
    samples, sample_rate = decoded(target.read_bytes())
    ends = (*joined.offsets_ms[1:], joined.duration_ms)
    return [
        heard_hertz(middle(samples, sample_rate, start, end), sample_rate)
        for start, end in zip(joined.offsets_ms, ends, strict=True)
    ]


@pytest.mark.parametrize(
    "into", [MONO, codec.Format(44_100, 2, 128), codec.Format(22_050, 1, 32)], ids=str
)
def test_measure_counts_the_sounds_duration(into: codec.Format) -> None:
    measured = mp3.measure(io.BytesIO(tone(seconds=3, into=into)))
    # LAME writes whole frames, and one or two more to say all.
    assert 3000 <= measured.duration_ms < 3150
    assert measured.kbps == pytest.approx(into.kbps, rel=0.01)


def test_measure_of_no_sound_is_refused() -> None:
    with pytest.raises(NotMp3, match="no sound"):
        mp3.measure(io.BytesIO(b""))


def test_join_of_one_shape_copies_every_frame_as_it_is(target: Path) -> None:
    sounds = [tone(hertz) for hertz in HERTZ]
    joined = mp3.join(map(mp3.Part, sounds), target)
    assert joined.encoded_again == 0
    assert b"".join(frame.data for frame in frames(target.read_bytes())) == b"".join(sounds)


def test_join_says_where_each_part_begins_and_how_long_all_is(target: Path) -> None:
    sounds = [tone(hertz, seconds=1 + number) for number, hertz in enumerate(HERTZ)]
    joined = mp3.join(map(mp3.Part, sounds), target)
    lengths = [mp3.measure(io.BytesIO(sound)).duration_ms for sound in sounds]
    assert joined.offsets_ms == (0, lengths[0], lengths[0] + lengths[1])
    assert joined.duration_ms == sum(lengths)
    assert heard(target, joined) == pytest.approx(HERTZ, abs=3)


def test_join_is_measured_and_decoded_to_the_duration_it_said(target: Path) -> None:
    joined = mp3.join([mp3.Part(tone(hertz)) for hertz in HERTZ], target)
    with target.open("rb") as file:
        assert mp3.measure(file).duration_ms == joined.duration_ms
    samples, sample_rate = decoded(target.read_bytes())
    assert len(samples) * 1000 / sample_rate == pytest.approx(joined.duration_ms, abs=50)


def test_join_of_the_same_parts_gives_the_same_bytes(target: Path) -> None:
    parts = [mp3.Part(tone(hertz), 2) for hertz in HERTZ]
    mp3.join(parts, target)
    first = target.read_bytes()
    mp3.join(parts, target)
    assert target.read_bytes() == first


@pytest.mark.parametrize("other", [codec.Format(44_100, 2, 128), codec.Format(22_050, 1, 48)])
def test_join_encodes_only_a_part_of_another_shape_again(target: Path, other: codec.Format) -> None:
    first, last = tone(HERTZ[0]), tone(HERTZ[2])
    odd = tone(HERTZ[1], into=other)
    joined = mp3.join(map(mp3.Part, (first, odd, last)), target)
    assert joined.encoded_again == 1
    assert heard(target, joined) == pytest.approx(HERTZ, abs=3)
    copied = b"".join(frame.data for frame in frames(target.read_bytes()))
    assert copied.startswith(first)
    assert copied.endswith(last)


def test_join_encodes_a_part_again_that_begins_in_the_middle_of_a_stream(target: Path) -> None:
    whole = frames(tone(HERTZ[1], seconds=2, into=codec.Format(44_100, 1, 64)))
    cut = next(number for number, frame in enumerate(whole) if number and frame.borrowed_bytes)
    torso = b"".join(frame.data for frame in whole[cut:])
    joined = mp3.join([mp3.Part(torso)], target)
    assert joined.encoded_again == 1
    assert frames(target.read_bytes())[0].borrowed_bytes == 0


def test_join_of_parts_with_other_bit_rates_has_a_true_table_of_contents(target: Path) -> None:
    sounds = [tone(into=codec.Format(24_000, 1, kbps)) for kbps in (32, 144, 64)]
    joined = mp3.join(map(mp3.Part, sounds), target)
    assert joined.encoded_again == 0
    data = target.read_bytes()
    at = data.index(b"Xing")
    assert int.from_bytes(data[at + 8 : at + 12], "big") == len(frames(data))
    assert int.from_bytes(data[at + 12 : at + 16], "big") == len(data)
    index_size = len(data) - sum(map(len, sounds))
    places, place = [], index_size
    for frame in frames(data):
        places.append(place)
        place += frame.header.size
    toc = data[at + 16 : at + 116]
    for percent, entry in enumerate(toc):
        place = places[percent * len(places) // 100]
        assert entry == place * 256 // len(data)


def test_join_of_many_frames_keeps_its_table_of_contents_true(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [mp3.Part(tone(seconds=20)), mp3.Part(tone(into=codec.Format(24_000, 1, 144)))]
    mp3.join(parts, target)
    exact = target.read_bytes()
    monkeypatch.setattr(mp3, "MOST_MARKS", 512)
    mp3.join(parts, target)
    coarse = target.read_bytes()
    at = exact.index(b"Xing") + 16
    assert coarse[at + 100 :] == exact[at + 100 :]
    for one, other in zip(coarse[at : at + 100], exact[at : at + 100], strict=True):
        assert abs(one - other) <= 2


def test_join_with_gain_changes_only_that_part(target: Path) -> None:
    sounds = [tone(hertz) for hertz in HERTZ]
    mp3.join([mp3.Part(sounds[0]), mp3.Part(sounds[1], -4), mp3.Part(sounds[2])], target)
    joined = b"".join(frame.data for frame in frames(target.read_bytes()))
    assert joined.startswith(sounds[0])
    assert joined.endswith(sounds[2])
    assert sounds[1] not in joined


def test_join_of_a_broken_part_says_which(target: Path) -> None:
    with pytest.raises(NotMp3, match=r"Part 2: .*in the middle of a frame"):
        mp3.join([mp3.Part(tone()), mp3.Part(tone()[:-1])], target)


def test_join_of_a_part_without_sound_says_which(target: Path) -> None:
    with pytest.raises(NotMp3, match="Part 1: There is no sound"):
        mp3.join([mp3.Part(b"")], target)


def test_join_of_nothing_is_refused(target: Path) -> None:
    with pytest.raises(NotMp3, match="no parts"):
        mp3.join([], target)


def test_join_of_two_thousand_parts_needs_the_memory_of_one(target: Path) -> None:
    sound = tone(seconds=0.3)

    def parts(count: int) -> Iterator[mp3.Part]:
        return (mp3.Part(bytes(bytearray(sound))) for _ in range(count))

    def peak(count: int) -> int:
        tracemalloc.start()
        mp3.join(parts(count), target)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    few, many = peak(10), peak(2_000)
    assert target.stat().st_size > 2_000 * len(sound)
    # The offsets, and the marks of the table of contents.
    assert many - few < 500_000
