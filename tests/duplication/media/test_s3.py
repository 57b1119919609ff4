"""What is Amazon's own: requests on the wire, objects in parts, checksums, refusals."""

import math
import time
from types import SimpleNamespace

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from django.core.files.storage import storages

from config.settings import base
from duplication.kind import DUPLICATION
from duplication.media import work
from duplication.media.contract import (
    Copied,
    StorageRefused,
    StorageUnreachable,
    Unfinished,
)
from duplication.media.stores import store
from duplication.media.work import CopyMedia
from operations import control
from tests.duplication.driving import duplicate, job_of, run_to_end
from tests.duplication.media.conftest import BUCKET, episode_with, named, put, read
from tests.duplication.media.test_work import at_media

pytestmark = pytest.mark.django_db

PART = 5 * 1024 * 1024  # the least that S3 takes
COPY_OBJECT = "before-send.s3.CopyObject"
COPY_PART = "before-send.s3.UploadPartCopy"
SIZES = (PART, PART + 5, PART, PART, PART, 7)


def put_in_parts(s3, name, *, sizes=SIZES, **options):
    """As a client does that uploads a large file."""
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=name, **options)["UploadId"]
    parts = []
    for number, size in enumerate(sizes, 1):
        part = s3.upload_part(
            Bucket=BUCKET, Key=name, UploadId=upload, PartNumber=number, Body=b"%d" % number * size
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(
        Bucket=BUCKET, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    return name


def copy(source, target, *, progress=None, until=None):
    until = time.monotonic() + 60 if until is None else until
    return store().copy(source, target, progress=progress or {}, until=until)


def uploads(s3):
    return s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


def test_one_file_of_many_blocks_is_copied_once(requests_sent):
    put("a.mp3")
    done = duplicate(episode_with(*["a.mp3"] * 300), media_strategy="copy")

    assert done.report["media"]["files"] == 1
    assert len(set(named(done.new_episode))) == 1
    assert requests_sent[COPY_OBJECT] == 1
    assert requests_sent["before-send.s3.GetObject"] == 0


def test_worker_that_died_before_its_commit_is_followed_by_one_that_copies_nothing_twice(
    requests_sent,
):
    names = [put(f"{number}.mp3") for number in range(5)]
    done = at_media(episode_with(*names))
    job = job_of(done, "media")
    step = CopyMedia().step(job, 1_000, None)  # collects
    done.jobs.filter(pk=job.pk).update(cursor=step.cursor)
    CopyMedia().prepare(job_of(done, "media"), 1_000)  # copies, and dies
    assert requests_sent[COPY_OBJECT] == 5

    run_to_end(done)
    assert done.status == "completed"
    assert done.report["media"]["files"] == 5
    assert requests_sent[COPY_OBJECT] == 5


def test_copy_keeps_what_the_object_says_of_itself(s3):
    s3.put_object(
        Bucket=BUCKET,
        Key="a.mp3",
        Body=b"sound",
        ContentType="audio/mpeg",
        CacheControl="max-age=60",
        Metadata={"voice": "ada"},
    )
    copy("a.mp3", "one.mp3")
    found = s3.head_object(Bucket=BUCKET, Key="one.mp3")
    assert (found["ContentType"], found["CacheControl"]) == ("audio/mpeg", "max-age=60")
    assert found["Metadata"] == {"voice": "ada"}


def test_object_in_parts_is_copied_in_the_parts_it_came_in(s3, requests_sent):
    put_in_parts(s3, "large.wav", ContentType="audio/wav", Metadata={"voice": "ada"})
    copied = copy("large.wav", "copy.wav")

    source, target = (s3.head_object(Bucket=BUCKET, Key=k) for k in ("large.wav", "copy.wav"))
    assert target["ETag"] == source["ETag"]
    assert copied == Copied(sum(SIZES), f"ETag:{source['ETag']}".replace('"', ""))
    assert (target["ContentType"], target["Metadata"]) == ("audio/wav", {"voice": "ada"})
    assert read("copy.wav") == read("large.wav")
    assert requests_sent[COPY_PART] == len(SIZES)
    assert requests_sent[COPY_OBJECT] == 0


def test_object_in_parts_with_a_checksum_of_the_whole_goes_in_one_request(s3, requests_sent):
    put_in_parts(s3, "large.wav", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")
    copied = copy("large.wav", "copy.wav")

    assert copied.checksum.startswith("CRC64NVME:")
    assert (requests_sent[COPY_OBJECT], requests_sent[COPY_PART]) == (1, 0)


def test_object_above_the_limit_goes_by_parts_and_is_proved_by_its_checksum(
    s3, requests_sent, settings
):
    settings.AWS_COPY_MAX_BYTES = PART
    put_in_parts(s3, "large.wav", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")
    copied = copy("large.wav", "copy.wav")

    found = s3.head_object(Bucket=BUCKET, Key="copy.wav", ChecksumMode="ENABLED")
    assert found["ChecksumType"] == "FULL_OBJECT"
    assert copied.checksum == f"CRC64NVME:{found['ChecksumCRC64NVME']}"
    assert requests_sent[COPY_PART] == len(SIZES)


def test_object_in_parts_is_gone_on_with_where_time_was_up(s3, requests_sent):
    put_in_parts(s3, "large.wav")
    begun = copy("large.wav", "copy.wav", until=0)
    assert isinstance(begun, Unfinished)
    assert 0 < requests_sent[COPY_PART] < len(SIZES)

    assert isinstance(copy("large.wav", "copy.wav", progress=begun.progress, until=0), Copied)
    assert requests_sent[COPY_PART] == len(SIZES)
    assert uploads(s3) == []


def test_object_in_parts_is_gone_on_with_by_who_knows_nothing_of_its_beginning(s3, requests_sent):
    put_in_parts(s3, "large.wav")
    assert isinstance(copy("large.wav", "copy.wav", until=0), Unfinished)
    assert isinstance(copy("large.wav", "copy.wav"), Copied)

    assert requests_sent[COPY_PART] == len(SIZES)
    assert uploads(s3) == []


def test_upload_that_was_aborted_by_somebody_is_begun_again(s3):
    put_in_parts(s3, "large.wav")
    begun = copy("large.wav", "copy.wav", until=0)
    upload = uploads(s3)[0]["UploadId"]
    s3.abort_multipart_upload(Bucket=BUCKET, Key="copy.wav", UploadId=upload)

    again = copy("large.wav", "copy.wav", progress=begun.progress)
    assert again == Unfinished({})
    assert isinstance(copy("large.wav", "copy.wav", progress=again.progress), Copied)


def test_large_object_takes_several_steps_of_the_duplication(s3, monkeypatch, requests_sent):
    put_in_parts(s3, "large.wav")
    done = at_media(episode_with("large.wav"))
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: -math.inf))
    run_to_end(done)

    assert done.status == "completed"
    assert requests_sent[COPY_PART] == len(SIZES)
    assert requests_sent["before-send.s3.CreateMultipartUpload"] == 2  # the test's and ours
    assert requests_sent["before-send.s3.ListParts"] == 3  # per step, and to complete


def test_delete_takes_away_what_an_unfinished_copy_left(s3):
    put_in_parts(s3, "large.wav")
    copy("large.wav", "copy.wav", until=0)
    assert len(uploads(s3)) == 1
    store().delete("copy.wav")
    assert uploads(s3) == []


def test_copy_that_came_out_wrong_is_deleted_and_fails_until_a_retry(s3, aws):
    other = boto3.client("s3")
    put("a.mp3", b"sound")

    def remember(params, context, **_):
        context["key"] = params["Key"]

    def spoil_after(context, **_):
        other.put_object(Bucket=BUCKET, Key=context["key"], Body=b"noise")

    s3.meta.events.register("provide-client-params.s3.CopyObject", remember)
    s3.meta.events.register("after-call.s3.CopyObject", spoil_after)
    done = duplicate(episode_with("a.mp3"), media_strategy="copy")

    assert (done.status, done.error_code) == ("failed", "media_differs")
    assert "5 bytes with CRC32" in done.error_message
    assert "Retry copies the file again." in done.error_message
    assert not storages["default"].exists(done.media_files.get().target)

    s3.meta.events.unregister("after-call.s3.CopyObject", spoil_after)
    control.retry(DUPLICATION, done)
    run_to_end(done)
    assert done.status == "completed"
    assert read(named(done.new_episode)[0]) == b"sound"
    other.close()


def test_older_copy_of_what_the_source_was_is_copied_again(s3):
    put("a.mp3", b"new!!")
    put("copy.mp3", b"older")
    copy("a.mp3", "copy.mp3")
    assert read("copy.mp3") == b"new!!"


def test_encrypted_object_that_nothing_can_prove_equal_is_refused(s3):
    put_in_parts(
        s3, "secret.wav", sizes=(PART, 3), ServerSideEncryption="aws:kms", SSEKMSKeyId="key"
    )
    with pytest.raises(StorageRefused, match="Nothing proves that the copy of secret"):
        copy("secret.wav", "copy.wav")
    assert not storages["default"].exists("copy.wav")


def test_missing_bucket_is_no_missing_file(s3):
    s3.delete_bucket(Bucket=BUCKET)
    done = duplicate(episode_with("a.mp3"), media_strategy="copy")
    assert (done.status, done.error_code) == ("failed", "storage_refused")
    assert f"There is no S3 bucket {BUCKET}" in done.error_message
    s3.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("AccessDenied", 403, StorageRefused),
        ("SlowDown", 503, StorageUnreachable),
        ("InternalError", 500, StorageUnreachable),
    ],
)
def test_refusal_fails_and_trouble_is_waited_for(s3, monkeypatch, code, status, error):
    put("a.mp3")

    def answer(request, **_):
        body = f"<Error><Code>{code}</Code><Message>Because.</Message></Error>".encode()
        return AWSResponse(request.url, status, {}, SimpleNamespace(stream=lambda **_: [body]))

    s3.meta.events.register("before-send.s3.CopyObject", answer)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's own tries
    with pytest.raises(error, match="Because"):
        copy("a.mp3", "copy.mp3")


def test_storage_that_does_not_answer_makes_the_duplication_wait(
    bucket, settings, unused_tcp_port, monkeypatch
):
    put("a.mp3")
    done = at_media(episode_with("a.mp3"))
    working = settings.STORAGES
    down = base.media_storage()
    down["OPTIONS"]["endpoint_url"] = f"http://127.0.0.1:{unused_tcp_port}"
    down["OPTIONS"]["client_config"] = Config(retries={"total_max_attempts": 1})
    settings.STORAGES = {**working, "default": down}

    assert run_to_end(done)[-1] == "waiting"
    assert "Amazon S3 doesn't answer" in done.waiting_reason
    assert done.status == "in_progress"

    storages["default"].connection.meta.client.close()
    settings.STORAGES = working
    done.jobs.update(not_before=None)
    run_to_end(done)
    assert done.status == "completed"


def test_location_is_a_folder_that_all_names_start_in(bucket, settings, monkeypatch):
    storages["default"].connection.meta.client.close()
    monkeypatch.setenv("AWS_LOCATION", "encore/media")
    settings.STORAGES = {**settings.STORAGES, "default": base.media_storage()}
    put("a.mp3")
    done = duplicate(episode_with("a.mp3"), media_strategy="copy")

    client = storages["default"].connection.meta.client
    keys = [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert sorted(keys) == [f"encore/media/{name}" for name in ("a.mp3", *named(done.new_episode))]


def test_urls_of_the_bucket_are_signed_and_objects_have_no_acl(s3):
    put("a.mp3")
    assert "X-Amz-Signature=" in storages["default"].url("a.mp3")
    grants = s3.get_object_acl(Bucket=BUCKET, Key="a.mp3")["Grants"]
    assert all("URI" not in grant["Grantee"] for grant in grants)
