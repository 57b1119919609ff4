"""Reading a request's body, no larger than allowed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, cast

from django.conf import settings
from rest_framework import exceptions
from rest_framework.parsers import JSONParser


class RequestTooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "request_too_large"

    def __init__(self) -> None:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        super().__init__(f"A request's body may have at most {limit} bytes.")


class BoundedJSONParser(JSONParser):
    """DRF's own parser reads a body of any size into memory: Django's limit is not asked."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return super().parse(cast("IO[Any]", _Bounded(stream)), media_type, parser_context)
        except RecursionError as error:
            raise exceptions.ParseError("JSON parse error - nested too deeply") from error


class _Bounded:
    """A stream that refuses to be read beyond the limit, whatever the header said."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def read(self, size: int = -1) -> bytes:
        most = self._left + 1
        chunk = self._stream.read(most if size < 0 else min(size, most))
        self._left -= len(chunk)
        if self._left < 0:
            raise RequestTooLarge
        return chunk
