"""Errors as `application/problem+json` (RFC 9457).

Owns their shape. Doesn't own what an error means: an app raises DRF's exceptions, with an
`extra` dict where the problem has more to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from config.api.parsers import RequestTooLarge

PROBLEM_TYPE = "application/problem+json"


def problem_details(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every API error as a problem; what isn't an API error stays Django's.

    `code` is the machine's word for it; `errors`, for invalid input, has one entry per
    mistake with a JSON `pointer` to the place.
    """
    if isinstance(error, RequestDataTooBig):
        error = RequestTooLarge()
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        mistakes = list(_mistakes(error.detail, ""))
        problem = _problem(
            response.status_code,
            title="Invalid input",
            code="invalid",
            detail="; ".join(mistake["detail"] for mistake in mistakes),
            errors=mistakes,
        )
    else:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else ""
        problem = _problem(
            response.status_code, code=getattr(detail, "code", "error"), detail=str(detail)
        )
    response.data = problem | getattr(error, "extra", {})
    response.content_type = PROBLEM_TYPE
    return response


@csrf_exempt
def unknown_path(request: HttpRequest) -> JsonResponse:
    """The answer below `/api/` where nothing is, to any method."""
    status = HTTPStatus.NOT_FOUND
    detail = "There is no such path: /api/v1/schema lists those there are."
    return JsonResponse(
        _problem(status, code="not_found", detail=detail), status=status, content_type=PROBLEM_TYPE
    )


def _problem(
    status: int, *, code: str, detail: str, title: str = "", **more: Any
) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        **more,
    }


def _mistakes(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            own = pointer if key == "non_field_errors" else f"{pointer}/{key}"
            yield from _mistakes(value, own)
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            nested = isinstance(value, dict | list)
            yield from _mistakes(value, f"{pointer}/{index}" if nested else pointer)
    else:
        yield {"pointer": pointer, "detail": str(detail), "code": getattr(detail, "code", "")}
