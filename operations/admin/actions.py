"""Pause, resume, retry and cancel as actions on a list of operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from operations import kinds, verbs
from operations.pages import confirmation
from operations.watching import count

# Refused ones that are told one by one; the rest is counted.
TOLD = 10

Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


def _action(verb: verbs.Verb) -> Action:
    def act(
        model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        ids = list(queryset.order_by("-pk").values_list("pk", flat=True)[: verbs.MAX_AT_ONCE + 1])
        if len(ids) > verbs.MAX_AT_ONCE:
            messages.error(
                request,
                f"Nothing was done: more than {verbs.MAX_AT_ONCE} are chosen. "
                f"Choose at most {verbs.MAX_AT_ONCE} at a time.",
            )
            return None
        if verb.is_final and "confirmed" not in request.POST:
            return _ask(model_admin, request, verb, queryset.filter(pk__in=ids))
        outcomes = verbs.apply_to_many(verb.name, model_admin.model, ids, by=request.user)
        _tell(request, model_admin.opts, verb, outcomes)
        return None

    act.__name__ = f"{verb.name}_selected"
    return admin.action(description=f"{verb.label} selected %(verbose_name_plural)s")(act)


CONTROL_ACTIONS: tuple[Action, ...] = tuple(_action(verb) for verb in verbs.VERBS.values())


def _ask(
    model_admin: admin.ModelAdmin, request: HttpRequest, verb: verbs.Verb, chosen: QuerySet[Any]
) -> HttpResponse:
    operations = list(chosen)
    return confirmation(
        request,
        back_url=request.get_full_path(),
        title=f"{verb.label} {count(len(operations), model_admin.opts)}?",
        text=verb.explanation,
        items=[_item(each, verb) for each in operations],
        action=request.get_full_path(),
        fields=[
            ("action", f"{verb.name}_selected"),
            ("confirmed", "yes"),
            *((ACTION_CHECKBOX_NAME, each.pk) for each in operations),
        ],
        label=f"{verb.label} {count(len(operations), model_admin.opts)}",
    )


def _item(operation: Any, verb: verbs.Verb) -> str:
    consequence = kinds.get(operation.kind).consequence(operation, verb.name)
    told = f"{operation}: {operation.state_label.lower()}"
    return f"{told}. {consequence}" if consequence else told


def _tell(request: HttpRequest, opts: Any, verb: verbs.Verb, outcomes: list[verbs.Outcome]) -> None:
    refused = [each for each in outcomes if each.refusal]
    if done := len(outcomes) - len(refused):
        were = "was" if done == 1 else "were"
        messages.success(request, f"{count(done, opts)} {were} {verb.done}.")
    for outcome in refused[:TOLD]:
        messages.warning(request, outcome.refusal)
    if len(refused) > TOLD:
        messages.warning(request, f"{len(refused) - TOLD} more were refused.")
