"""The last stage: one file of all sounds, in the storage, proved to be what was joined."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.db import connection

from content.models import Episode
from generation import audio_names, files
from generation.models import GenerationJob, StageName
from generation.providers.registry import speech_provider
from generation.sounds import claims
from generation.sounds.joining import Broken, Joined, join
from generation.sounds.making import Sounds
from generation.stages.contract import Made, Stage

FOLDER = "generation/episodes"
JOINED = "joined"


class Upload(Stage):
    """Joins the segments into a temporary file, then uploads that and reads it back. A sound
    that is found broken is made again first. The cursor says whether the file was joined; a
    worker that doesn't have it joins it again, which costs no call and gives the same bytes.

    The episode's address changes when all is done, so nobody hears half of it.
    """

    name = StageName.UPLOAD
    status = Episode.GenerationStatus.UPLOADING
    weight = 10
    unit = "pieces"

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._joined: Joined | None = None
        self._sounds: Sounds | None = None

    def make(self, generation: GenerationJob, cursor: Any) -> Made:
        if cursor != JOINED and generation.segments.filter(state="pending").exists():
            return self._make_again(generation)
        segments = generation.segments.count()
        if self._joined is None:
            try:
                with files.explained():
                    self._joined = join(generation, self._file)
            except Broken as broken:
                return _set_back(generation, broken, done=segments if cursor == JOINED else 0)
        if cursor != JOINED:
            return Made(finished=False, cursor=JOINED, done=segments, total=segments + 1)
        return self._upload(generation, self._joined)

    def close(self) -> None:
        if self._sounds:
            self._sounds.close()
        if self._folder:
            self._folder.cleanup()

    @property
    def _file(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="generation-")
        return Path(self._folder.name) / "episode.mp3"

    def _upload(self, generation: GenerationJob, joined: Joined) -> Made:
        with self._file.open("rb") as file:
            size, checksum = files.checksum_of(file)
            name = f"{FOLDER}/{checksum[:2]}/{checksum}.mp3"
            audio_names.promise(generation.pk, name)
            files.put(name, file)
        files.check(name, size=size, checksum=checksum)
        return Made(
            finished=True,
            done=1,
            fields={
                "audio_name": name,
                "audio_bytes": size,
                "audio_checksum": checksum,
                "audio_duration_ms": joined.duration_ms,
            },
            write=lambda: _write_starts(generation, joined.starts_ms),
        )

    def _make_again(self, generation: GenerationJob) -> Made:
        if self._sounds is None:
            self._sounds = Sounds(generation, speech_provider())
        spoken = self._sounds.look()
        return Made(
            finished=False,
            usage=spoken.usage,
            chars_cached=spoken.chars_cached,
            write=spoken.write,
        )


def _set_back(generation: GenerationJob, broken: Broken, *, done: int) -> Made:
    number = len({key for key, _ in broken.sounds})
    told = (
        "The file of one sound is gone or broken: it is made again."
        if number == 1
        else f"The files of {number:,} sounds are gone or broken: they are made again."
    )
    return Made(
        finished=False,
        done=-done,
        notes=(told,),
        write=lambda: claims.set_back(generation, broken.sounds),
    )


def _write_starts(generation: GenerationJob, starts_ms: dict[int, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE generation_segments segment SET start_ms = joined.start_ms
            FROM unnest(%s::int[], %s::int[]) AS joined (number, start_ms)
            WHERE segment.generation_id = %s AND segment.number = joined.number
            """,
            [list(starts_ms), list(starts_ms.values()), generation.pk],
        )
