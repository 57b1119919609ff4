"""Telling of operations in messages: each by its name, as a link for who may see it."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from operations.models import Operation
from operations.stages import label
from operations.watching import count


def page_url(operation: Operation) -> str:
    """Its page in the admin."""
    meta = operation._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[operation.pk])


def may_see(request: HttpRequest, operation: Operation) -> bool:
    return type(operation).viewable_by(request.user).filter(pk=operation.pk).exists()


def link(request: HttpRequest, operation: Operation) -> SafeString:
    text = f"{label(str(operation._meta.verbose_name))} {operation.pk}"
    if not may_see(request, operation):
        return format_html("{}, which is somebody else's", text)
    return format_html('<a href="{}">{}</a>', page_url(operation), text)


def tell_of_started(request: HttpRequest, operations: Sequence[Operation]) -> None:
    """One message for all; none where nothing was started."""
    if not operations:
        return
    links = format_html_join(", ", "{}", ((link(request, each),) for each in operations))
    number = f"{count(len(operations), operations[0]._meta)}: " if len(operations) > 1 else ""
    messages.success(request, format_html("Started {}{}.", number, links))
