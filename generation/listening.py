"""An episode's audio, for who may hear it: an address of ours that stays.

From a folder of this machine it is sent from here, in the ranges that players ask for; from any
other storage the listener is sent there. Its last part is the sound's checksum, so it may be
kept for ever; the address of a sound that was replaced leads to the present one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from django.core.files.storage import default_storage
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header
from django.utils.text import get_valid_filename
from django.views.decorators.http import require_safe

from content.models import Episode
from generation.kind import audio_url
from generation.models import MP3, GenerationJob
from generation.permissions import may_hear

BLOCK = 256 * 1024
KEPT_SECONDS = 365 * 24 * 3600
CHECKSUM_DIGITS = 16
_NAME = re.compile(rf"[0-9a-f]{{{CHECKSUM_DIGITS}}}\.mp3")
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE | re.ASCII)


class Part(NamedTuple):
    """Of a file, in bytes."""

    start: int
    length: int


@require_safe
def episode_audio(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """The sound; 302 to where it is; 404 where there is none that the user may hear."""
    episode = Episode.objects.visible().filter(pk=pk).first()
    # Whether it is public is looked at first, so that who hears it needn't be known.
    if episode is None or not may_hear(request.user, episode):
        raise Http404("There is no such audio.")
    generations = GenerationJob.objects.filter(episode=episode, status="completed")
    current = generations.order_by("-pk").first()
    if current is None or not _NAME.fullmatch(name):
        raise Http404("There is no such audio.")
    if not (current_url := audio_url(current)).endswith(f"/{name}"):
        if not generations.filter(audio_checksum__startswith=name[:CHECKSUM_DIGITS]).exists():
            raise Http404("There is no such audio.")
        return _sent_to(current_url)
    try:
        path = Path(default_storage.path(current.audio_name))
    except NotImplementedError:
        return _sent_to(default_storage.url(current.audio_name))
    return _file(request, episode, current, path)


def _sent_to(url: str) -> HttpResponse:
    # Signed for a time, or replaced the next time: not to be kept.
    return HttpResponseRedirect(url, headers={"Cache-Control": "no-store"})


def _file(
    request: HttpRequest, episode: Episode, generation: GenerationJob, path: Path
) -> HttpResponseBase:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise Http404("The file of this audio is gone: generate it again.") from error
    etag = f'"{generation.audio_checksum}"'
    audience = "public" if episode.status == Episode.Status.PUBLISHED else "private"
    file_name = get_valid_filename(episode.title.strip(" .") or "episode")
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": f"{audience}, max-age={KEPT_SECONDS}, immutable",
        "Content-Disposition": content_disposition_header(False, f"{file_name}.mp3") or "inline",
        "ETag": etag,
    }
    if unchanged := get_conditional_response(request, etag=etag):
        unchanged.headers["Cache-Control"] = headers["Cache-Control"]
        return unchanged
    part = _asked_for(request, size=size, etag=etag)
    if part is None:
        return _streamed(request, path, Part(0, size), headers)
    if not part.length:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    last = part.start + part.length - 1
    headers["Content-Range"] = f"bytes {part.start}-{last}/{size}"
    return _streamed(request, path, part, headers, status=206)


def _asked_for(request: HttpRequest, *, size: int, etag: str) -> Part | None:
    """The part that a player asks for, empty where there is none such; None: all of it.

    Several parts at once are answered with all, as RFC 9110 allows; no player asks so.
    """
    matched = _RANGE.fullmatch(request.headers.get("Range", ""))
    is_same = request.headers.get("If-Range", etag) == etag
    if request.method != "GET" or not matched or not any(matched.groups()) or not is_same:
        return None
    first, last = matched.groups()
    if not first:
        length = min(int(last), size)
        return Part(size - length, length)
    start, end = int(first), min(int(last or size), size - 1)
    if last and int(last) < start:
        return None  # says nothing, so it isn't listened to
    return Part(start, max(end + 1 - start, 0))


def _streamed(
    request: HttpRequest, path: Path, part: Part, headers: dict[str, str], status: int = 200
) -> HttpResponseBase:
    headers = {**headers, "Content-Length": str(part.length)}
    if request.method == "HEAD":
        return HttpResponse(status=status, content_type=MP3, headers=headers)
    # Each kind of server reads a whole file into memory when it is given the other's iterator.
    blocks = _blocks_async if isinstance(request, ASGIRequest) else _blocks
    return StreamingHttpResponse(
        blocks(path, part), status=status, content_type=MP3, headers=headers
    )


def _blocks(path: Path, part: Part) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.length
        while block := file.read(min(BLOCK, left)):
            left -= len(block)
            yield block


async def _blocks_async(path: Path, part: Part) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.length
        while block := await asyncio.to_thread(file.read, min(BLOCK, left)):
            left -= len(block)
            yield block
