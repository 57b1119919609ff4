"""One file of all sounds: what is in it, where it is kept, and what is done when it isn't right."""

from __future__ import annotations

import errno
import hashlib
import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSResponse
from django.core.files.storage import FileSystemStorage, default_storage, storages
from mutagen.id3 import ID3

from generation import files
from generation.audio import mp3
from generation.models import AudioCache, GenerationJob
from operations import verbs
from operations.models import Event
from tests.duplication.driving import run_to_end
from tests.duplication.media.conftest import aws, bucket, moto_server, requests_sent
from tests.generation.making import generate, make_episode, start
from tests.generation.stub_speech import calls
from tests.generation.test_audio_stage import TEXTS, log, proceed

__all__ = ["aws", "bucket", "log", "moto_server", "requests_sent"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]


@pytest.fixture
def s3(bucket: str) -> Any:
    """The client by which files are written, whichever thread does it."""
    return storages["default"].bucket.meta.client


def content(generation: GenerationJob) -> bytes:
    with default_storage.open(generation.audio_name) as file:
        data: bytes = file.read()
    return data


def assert_uploaded(generation: GenerationJob) -> None:
    assert generation.status == "completed", generation.error_message
    data = content(generation)
    assert hashlib.sha256(data).hexdigest() == generation.audio_checksum
    checksum = generation.audio_checksum
    assert generation.audio_name == f"generation/episodes/{checksum[:2]}/{checksum}.mp3"
    assert len(data) == generation.audio_bytes
    measured = mp3.measure(io.BytesIO(data))
    assert generation.audio_duration_ms == measured.duration_ms
    total = sum(generation.segments.values_list("duration_ms", flat=True))
    assert measured.duration_ms == pytest.approx(total, abs=100)


def test_file_has_all_segments_in_order_its_title_and_chapters() -> None:
    episode = make_episode(*TEXTS, title="Three things")
    generation = generate(episode)
    assert_uploaded(generation)
    segments = list(generation.segments.all())
    starts = [each.start_ms for each in segments]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    tags = ID3(io.BytesIO(content(generation)))
    assert tags["TIT2"].text == ["Three things"]
    chapters = tags.getall("CHAP")
    assert [str(each.sub_frames["TIT2"]) for each in chapters] == ["Part 0", "Part 1", "Part 2"]
    firsts = [min(s.start_ms for s in segments if s.chapter == number) for number in range(3)]
    assert [each.start_time for each in chapters] == firsts
    assert chapters[-1].end_time == pytest.approx(generation.audio_duration_ms, abs=60)
    episode.refresh_from_db()
    assert episode.generation_status == "COMPLETED"
    assert episode.audio_url.endswith(f"/{generation.audio_checksum[:16]}.mp3")


def test_same_sounds_give_the_same_file_and_it_is_not_uploaded_twice() -> None:
    episode = make_episode(*TEXTS)
    first = generate(episode)
    path = Path(default_storage.path(first.audio_name))
    before = path.stat().st_ino
    again = generate(episode, from_stage="upload")
    assert again.status == "completed", again.error_message
    assert again.audio_name == first.audio_name
    assert path.stat().st_ino == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert again.segments.first().start_ms == 0


def test_half_a_file_that_a_crash_left_is_replaced() -> None:
    episode = make_episode(*TEXTS)
    first = generate(episode)
    path = Path(default_storage.path(first.audio_name))
    path.write_bytes(path.read_bytes()[:500])
    again = generate(episode, from_stage="upload")
    assert_uploaded(again)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("harm", ["gone", "cut", "forgotten"])
def test_broken_sounds_are_made_again_in_the_same_generation(log: Path, harm: str) -> None:
    episode = make_episode(*TEXTS)
    generate(episode)
    said = len(calls(log))
    broken = list(AudioCache.objects.order_by("pk")[1:3])
    for sound in broken:
        path = Path(default_storage.path(sound.audio_name))
        if harm == "gone":
            path.unlink()
        elif harm == "cut":
            path.write_bytes(path.read_bytes()[:200])
        else:
            path.unlink()
            sound.delete()

    generation = generate(episode, from_stage="upload")
    assert generation.status == "completed", generation.error_message
    assert len(calls(log)) == said + 2
    assert generation.chars_paid == sum(
        len(each.text) for each in generation.segments.filter(state="made")
    )
    assert generation.segments.filter(state="made").count() == 2
    told = Event.objects.filter(
        kind="generation", operation_id=str(generation.pk), name="generation.feedback"
    ).values_list("payload__message", flat=True)
    assert "The files of 2 sounds are gone or broken: they are made again." in told
    entry = generation.progress["upload"]
    assert entry["done"] == entry["total"] == generation.segments.count() + 1


def test_file_that_reads_back_otherwise_fails_and_retry_uploads_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = files.put

    def spoiling(name: str, file: Any) -> None:
        put(name, file)
        if name.startswith("generation/episodes"):
            path = Path(default_storage.path(name))
            path.write_bytes(path.read_bytes()[:-1] + b"?")

    monkeypatch.setattr(files, "put", spoiling)
    generation = generate(make_episode(*TEXTS))
    assert (generation.status, generation.error_code) == ("failed", "upload_differs")
    assert generation.episode.audio_url == ""

    monkeypatch.setattr(files, "put", put)
    verbs.apply("retry", generation, by=None)
    run_to_end(generation)
    assert_uploaded(generation)


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "disk is full"), (errno.EIO, "can't be used")]
)
def test_storage_without_room_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, log: Path, number: int, told: str
) -> None:
    save = FileSystemStorage._save

    def failing(self: Any, name: str, file: Any) -> str:
        if "episodes" in name:
            raise OSError(number, "no")
        return save(self, name, file)

    monkeypatch.setattr(FileSystemStorage, "_save", failing)
    generation = start(make_episode(*TEXTS))
    run_to_end(generation)
    assert told in generation.waiting_reason
    monkeypatch.setattr(FileSystemStorage, "_save", save)
    proceed(generation)
    assert_uploaded(generation)
    assert max(Counter(calls(log)).values()) == 1


# --- in a bucket -------------------------------------------------------------------------


def test_file_goes_to_a_bucket_in_parts_and_is_heard_by_a_signed_address(
    s3: Any, requests_sent: Counter[str], monkeypatch: pytest.MonkeyPatch, log: Path, client: Any
) -> None:
    monkeypatch.setattr(
        storages["default"],
        "transfer_config",
        TransferConfig(multipart_threshold=1, use_threads=False),
    )
    episode = make_episode(*TEXTS, status="published")
    generation = generate(episode)
    assert_uploaded(generation)
    assert requests_sent["before-send.s3.CompleteMultipartUpload"]
    again = generate(episode, from_stage="upload")
    assert again.audio_name == generation.audio_name
    _, names = default_storage.listdir(f"generation/episodes/{generation.audio_checksum[:2]}")
    assert names == [f"{generation.audio_checksum}.mp3"]

    episode.refresh_from_db()
    answer = client.get(episode.audio_url)
    assert (answer.status_code, answer["Cache-Control"]) == (302, "no-store")
    assert generation.audio_name in answer["Location"]
    assert "X-Amz-Signature=" in answer["Location"]


def test_bucket_that_answers_503_is_waited_for(s3: Any, log: Path) -> None:
    def busy(request: Any, **more: Any) -> AWSResponse | None:
        if "/episodes/" not in request.url:
            return None
        return AWSResponse(request.url, 503, {}, SimpleNamespace(stream=lambda: [b""]))

    s3.meta.events.register("before-send.s3.PutObject", busy)
    generation = start(make_episode("One."))
    run_to_end(generation)
    assert "Amazon S3 is busy" in generation.waiting_reason
    s3.meta.events.unregister("before-send.s3.PutObject", busy)
    proceed(generation)
    assert_uploaded(generation)
    assert max(Counter(calls(log)).values()) == 1


def test_call_whose_sound_could_not_be_kept_is_counted(
    monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    def failing(self: Any, name: str, file: Any) -> str:
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(FileSystemStorage, "_save", failing)
    generation = start(make_episode("One."))
    run_to_end(generation)
    assert "disk is full" in generation.waiting_reason
    assert generation.chars_paid == sum(map(len, calls(log))) > 0


def test_bucket_that_is_not_there_fails_with_what_to_do(
    bucket: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages["default"], "bucket_name", "other")
    generation = generate(make_episode("One."))
    assert (generation.status, generation.error_code) == ("failed", "storage_refused")
    assert "Check the bucket" in generation.error_message
