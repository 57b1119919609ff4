from __future__ import annotations

import io
from pathlib import Path

import pytest
from mutagen.id3 import ID3
from mutagen.mp3 import MP3

from generation.audio import mp3
from generation.audio.frames import read_frames
from generation.audio.tags import Chapter, write_tags
from tests.generation.audio.sounds import tone

CHAPTERS = [Chapter("Das Herz", 0, 1000), Chapter("心臓 – the “heart”", 1000, 2064)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    mp3.join([mp3.Part(tone(300)), mp3.Part(tone(700))], tmp_path / "sound.mp3")
    return tmp_path / "sound.mp3"


def chapters(path: Path) -> list[Chapter]:
    """As a player finds them: from the table of contents that is marked as the top."""
    tags = ID3(path)
    by_name = {frame.element_id: frame for frame in tags.getall("CHAP") + tags.getall("CTOC")}
    (top,) = [frame for frame in tags.getall("CTOC") if frame.flags & 2]

    def below(frame) -> list[Chapter]:
        if frame.FrameID == "CHAP":
            title = str(frame.sub_frames["TIT2"])
            return [Chapter(title, frame.start_time, frame.end_time)]
        return [found for name in frame.child_element_ids for found in below(by_name[name])]

    return below(top)


def test_tags_are_read_back_as_they_were_written(path: Path) -> None:
    write_tags(path, title="Kreislauf – 循環", duration_ms=2064, chapters=CHAPTERS)
    assert str(ID3(path)["TIT2"]) == "Kreislauf – 循環"
    assert str(ID3(path)["TLEN"]) == "2064"
    assert ID3(path).version == (2, 3, 0)
    assert chapters(path) == CHAPTERS


def test_tags_leave_the_sound_as_it_is(path: Path) -> None:
    before = list(read_frames(io.BytesIO(path.read_bytes())))
    length = MP3(path).info.length
    write_tags(path, title="Title", duration_ms=2064, chapters=CHAPTERS)
    assert list(read_frames(io.BytesIO(path.read_bytes()))) == before
    assert MP3(path).info.length == length


def test_tags_written_again_replace_the_old_ones(path: Path) -> None:
    write_tags(path, title="Title", duration_ms=2064, chapters=CHAPTERS)
    first = path.read_bytes()
    write_tags(path, title="A long title" * 50, duration_ms=1, chapters=CHAPTERS * 20)
    assert len(chapters(path)) == 40
    write_tags(path, title="Title", duration_ms=2064, chapters=CHAPTERS)
    assert path.read_bytes() == first


def test_tags_without_chapters_have_no_table_of_contents(path: Path) -> None:
    write_tags(path, title="Title", duration_ms=2064, chapters=[])
    assert ID3(path).getall("CTOC") == []


@pytest.mark.parametrize("count", [255, 256, 600])
def test_tags_of_many_chapters_name_every_one_in_order(path: Path, count: int) -> None:
    many = [Chapter(f"Chapter {n}", n, n + 1) for n in range(count)]
    write_tags(path, title="Title", duration_ms=2064, chapters=many)
    assert chapters(path) == many
