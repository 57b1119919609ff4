"""What every request that starts an operation has in common: its key, and where to look then."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from operations.exceptions import IdempotencyKeyReused

MAX_KEY_LENGTH = 255
POLL_AFTER_SECONDS = 2

KEY_PARAMETER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same key again answers what the first request was answered with.",
)
# Of the answer, made by this request or before.
ANSWER_HEADERS = [
    OpenApiParameter(
        "Location",
        OpenApiTypes.URI,
        OpenApiParameter.HEADER,
        description="Where the operation is.",
        response=[200, 202],
    ),
    OpenApiParameter(
        "Retry-After",
        int,
        OpenApiParameter.HEADER,
        description="Look again after so many seconds.",
        response=[200, 202],
    ),
]


class KeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = IdempotencyKeyReused.code


def idempotency_key(request: Request, *, max_length: int = MAX_KEY_LENGTH) -> str | None:
    """Raises ValidationError for one that is too long."""
    key = request.headers.get("Idempotency-Key")
    if key and len(key) > max_length:
        raise ValidationError({"Idempotency-Key": f"At most {max_length} characters."})
    return key


def accepted(data: Any, *, created: bool, location: str) -> Response:
    """The answer to a start: `data` is the operation, made by this request or before."""
    return Response(
        data,
        status=status.HTTP_202_ACCEPTED if created else status.HTTP_200_OK,
        headers={"Location": location, "Retry-After": str(POLL_AFTER_SECONDS)},
    )
