"""Episode documents over HTTP: reading one from a request, sending one piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import IO, Any, cast

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.parsers import BaseParser

from content.documents.exporting import export_episode
from content.documents.format import LEVELS, MAX_NAME_LENGTH, MAX_UPLOAD_BYTES, Level
from content.documents.parsing import parse_document
from content.exceptions import InvalidDocument
from content.links import KEY_PATTERN
from content.models import Episode


class DocumentTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "document_too_large"
    default_detail = (
        f"A document may have at most {MAX_UPLOAD_BYTES // 1024**2} MiB here. Larger ones are "
        "imported on the server: manage.py import_episode."
    )


class InvalidDocumentInput(ValidationError):
    """An InvalidDocument as the API's own error: each mistake at its place in the body."""

    def __init__(self, error: InvalidDocument) -> None:
        detail: dict[str, Any] = {}
        for mistake in error.mistakes:
            place = detail
            for step in mistake.path:
                # Escaped as in a JSON pointer, which the path becomes.
                name = str(step).replace("~", "~0").replace("/", "~1")
                place = place.setdefault(name, {})
            place.setdefault("non_field_errors", []).append(mistake.message)
        super().__init__(detail)
        self.extra = {} if error.is_complete else {"is_complete": False}


class DocumentParser(BaseParser):
    """A document's bytes. Not DRF's JSON parser: that one drops what a name was given twice."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        # One byte more than allowed tells that there are more, whatever the header said.
        source = stream.read(MAX_UPLOAD_BYTES + 1)
        if len(source) > MAX_UPLOAD_BYTES:
            raise DocumentTooLarge
        try:
            return parse_document(source)
        except InvalidDocument as error:
            raise InvalidDocumentInput(error) from error


class DocumentResponse(StreamingHttpResponse):
    """An episode's document as a download that is made while it is sent."""

    def __init__(self, episode: Episode) -> None:
        self._export = export_episode(episode)
        super().__init__(
            self._export,
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="episode-{episode.pk}.json"'},
        )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # Django would take all pieces of a synchronous iterator into a list first. They are
        # made in the request's own thread, which is where its connection lives; a client
        # that goes away must not leave the export's transaction open on it.
        pieces = cast("Iterator[bytes]", self.streaming_content)
        try:
            while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
                yield piece
        finally:
            await sync_to_async(self._export.close)()


def _node_schema(level: Level) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "key": {
            "type": "string",
            "pattern": f"^{KEY_PATTERN}$",
            "maxLength": MAX_NAME_LENGTH,
            "description": f"Names this {level.name} in links: content:{level.name}/KEY.",
        }
    }
    for name in level.fields:
        properties[name] = {"type": "string", "nullable": True}
        if name in level.limited:
            properties[name]["maxLength"] = MAX_NAME_LENGTH
    required = ["key"]
    for below in LEVELS[LEVELS.index(level) + 1 :][:1]:
        properties[below.list_name] = {"type": "array", "items": _node_schema(below)}
        required.append(below.list_name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


DOCUMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH},
        LEVELS[0].list_name: {"type": "array", "items": _node_schema(LEVELS[0])},
    },
    "required": ["title", LEVELS[0].list_name],
    "additionalProperties": False,
}
