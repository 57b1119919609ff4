"""Refuses addresses with a NUL character, which PostgreSQL has no text with.

Forms refuse it themselves, and so does the API, in its own form of answer; what is written into
an address by hand reaches filters and look-ups of pages that don't.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

_WRITTEN = "%00"
_API = "/api/"


class NullCharactersMiddleware(MiddlewareMixin):
    """Behind those of session and user: the answer is a page like the others."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if _WRITTEN not in request.META.get("QUERY_STRING", "") or request.path.startswith(_API):
            return None
        return render(request, "400.html", status=400)
