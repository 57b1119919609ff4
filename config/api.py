"""What every API of the project shares: error documents and pagination."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from rest_framework import exceptions
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler


class NewestFirstPagination(CursorPagination):
    """Pages stay stable while rows are added, and cost the same however deep they are."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 500


def problem_details(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every API error as `application/problem+json` (RFC 9457).

    `code` is the machine's word for it; `errors`, for invalid input, has one entry per
    mistake with a JSON `pointer` to the place.
    """
    response = exception_handler(error, context)
    if response is None:
        return None
    status = HTTPStatus(response.status_code)
    problem: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status}
    if isinstance(error, exceptions.ValidationError):
        problem["title"] = "Invalid input"
        problem["code"] = "invalid"
        problem["errors"] = list(_mistakes(error.detail, ""))
        problem["detail"] = "; ".join(mistake["detail"] for mistake in problem["errors"])
    else:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else ""
        problem["detail"] = str(detail)
        problem["code"] = getattr(detail, "code", "error")
    extra = getattr(error, "extra", None)
    if extra:
        problem.update(extra)
    response.data = problem
    response.content_type = "application/problem+json"
    return response


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
