"""Starting duplications from the list of episodes.

The action only leads to a page of its own, which shows what would be copied and starts
nothing; its form starts. The form carries a key, so sending it twice starts once.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from content.admin.pagination import COUNT_LIMIT, BoundedCount, bounded
from content.links import as_id
from content.models import Episode, Item, Part
from duplication.exceptions import CannotStart
from duplication.models import Duplication
from duplication.permissions import ADD, check_may_duplicate
from duplication.services import Started, copy_title, start_duplication
from operations.exceptions import IdempotencyKeyReused
from operations.watching import label

MAX_EPISODES = 50
MAX_TITLE_LENGTH = Duplication._meta.get_field("title").max_length or 0


class Choice(NamedTuple):
    """One chosen episode. `refusal` says why it can't be duplicated, if so; `active` is the
    copy that is being made of it, as far as the user may know, if there is one."""

    episode: Episode
    parts: str
    items: str
    refusal: str
    active: Duplication | None


class StartForm(forms.Form):
    ids = forms.CharField(widget=forms.HiddenInput)
    key = forms.UUIDField(widget=forms.HiddenInput)
    title = forms.CharField(
        label="Title of the copy", max_length=MAX_TITLE_LENGTH, required=False, strip=True
    )


# --- the action ----------------------------------------------------------------


def offer_on_episodes() -> None:
    """Put the action on the list of episodes, whose app doesn't know this one."""
    episodes = admin.site.get_model_admin(Episode)
    episodes.actions = [*(episodes.actions or ()), duplicate_selected]
    # What "duplicate" in the action's permissions stands for.
    episodes.has_duplicate_permission = may_duplicate  # type: ignore[attr-defined]


def may_duplicate(request: HttpRequest) -> bool:
    return request.user.has_perm(ADD)


@admin.action(permissions=["duplicate"], description="Duplicate selected episodes")
def duplicate_selected(
    model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse:
    # "Select all" hands over every episode there is: read one more than may be chosen.
    ids = list(queryset.order_by("-id").values_list("pk", flat=True)[: MAX_EPISODES + 1])
    if len(ids) > MAX_EPISODES:
        return _refuse_too_many(request)
    return HttpResponseRedirect(start_url(ids))


def start_url(ids: list[int]) -> str:
    query = urlencode({"ids": ",".join(map(str, ids))}, safe=",")
    return f"{reverse('admin:duplication_duplication_start')}?{query}"


# --- the page --------------------------------------------------------------------


def start_page(model_admin: admin.ModelAdmin, request: HttpRequest) -> HttpResponse:
    """GET shows what would be started, POST starts it."""
    source = request.POST if request.method == "POST" else request.GET
    ids = _chosen_ids(source.get("ids", ""))
    if len(ids) > MAX_EPISODES:
        return _refuse_too_many(request)
    choices = _choices(request, ids)
    if not choices:
        messages.error(request, "No episode is chosen that is there and yours to see.")
        return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
    if request.method == "POST":
        form = StartForm(request.POST)
        if form.is_valid():
            return _start(request, choices, **form.cleaned_data)
    else:
        form = StartForm(
            initial={
                "ids": ",".join(map(str, ids)),
                "key": uuid.uuid4(),
                "title": copy_title(choices[0].episode.title),
            }
        )
    if len(choices) > 1:
        del form.fields["title"]
    startable = [each for each in choices if not each.refusal and not each.active]
    context = {
        **admin.site.each_context(request),
        "title": "Duplicate an episode" if len(choices) == 1 else "Duplicate episodes",
        "opts": model_admin.opts,
        "choices": choices,
        "missing": len(ids) - len(choices),
        "startable": len(startable),
        "form": form,
        "media": form.media,
    }
    return TemplateResponse(request, "admin/duplication/duplication/start.html", context)


def _chosen_ids(text: str) -> list[int]:
    ids = (as_id(each.strip()) for each in text.split(","))
    return list(dict.fromkeys(each for each in ids if each is not None))


def _choices(request: HttpRequest, ids: list[int]) -> list[Choice]:
    parts = Part.objects.filter(episode=OuterRef("pk"))
    items = Item.objects.filter(part__episode=OuterRef("pk"))
    episodes = (
        Episode.objects.viewable_by(request.user)
        .filter(pk__in=ids)
        .select_related("owner")
        .annotate(
            part_count=BoundedCount(parts.order_by().values("pk")[: COUNT_LIMIT + 1]),
            item_count=BoundedCount(items.order_by().values("pk")[: COUNT_LIMIT + 1]),
        )
        .in_bulk()
    )
    active = {
        duplication.org_episode_id: duplication
        for duplication in Duplication.viewable_by(request.user).filter(
            org_episode_id__in=ids,
            status__in=[Duplication.Status[name] for name in Duplication.ACTIVE],
        )
    }
    return [
        Choice(
            episode=episode,
            parts=bounded(episode.part_count),
            items=bounded(episode.item_count),
            refusal=_refusal(request, episode),
            active=active.get(episode.pk),
        )
        for each in ids
        if (episode := episodes.get(each)) is not None
    ]


def _refusal(request: HttpRequest, episode: Episode) -> str:
    try:
        check_may_duplicate(request.user, episode)
    except PermissionDenied as denied:
        return str(denied)
    return ""


# --- starting ----------------------------------------------------------------------


def _start(
    request: HttpRequest, choices: list[Choice], *, key: uuid.UUID, title: str, ids: str
) -> HttpResponse:
    """Start what may be started, tell of the rest, and lead to what was started."""
    outcomes: list[Started] = []
    for choice in choices:
        episode = choice.episode
        if choice.refusal:
            messages.error(request, f"“{episode.title}” was not duplicated. {choice.refusal}")
            continue
        try:
            started = start_duplication(
                episode_id=episode.pk,
                requested_by=request.user,
                title=title if len(choices) == 1 else "",
                idempotency_key=f"admin:{key}:{episode.pk}",
            )
        except IdempotencyKeyReused:
            messages.error(
                request,
                f"“{episode.title}” was not duplicated again: this page was sent before, with "
                "another title. Choose the episode once more to make another copy.",
            )
        except CannotStart as error:
            messages.error(request, f"“{episode.title}” was not duplicated. {error}")
        else:
            outcomes.append(started)
            if not started.created:
                messages.info(request, _no_second_copy(request, episode, started.duplication))
    _tell_of_started(request, [each.duplication for each in outcomes if each.created])
    if not outcomes:
        return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
    if len(choices) == 1 and may_see(request, outcomes[0].duplication):
        return HttpResponseRedirect(page_url(outcomes[0].duplication))
    return HttpResponseRedirect(reverse("admin:duplication_duplication_changelist"))


def _tell_of_started(request: HttpRequest, duplications: list[Duplication]) -> None:
    if not duplications:
        return
    links = format_html_join(", ", "{}", ((_link(request, each),) for each in duplications))
    number = "" if len(duplications) == 1 else f"{len(duplications)} duplications: "
    messages.success(request, format_html("Started {}{}.", number, links))


def _no_second_copy(request: HttpRequest, episode: Episode, duplication: Duplication) -> SafeString:
    return format_html(
        "No second copy of “{}” was started. {}: {}.",
        episode.title,
        _link(request, duplication),
        label(duplication.display_status).lower(),
    )


def _link(request: HttpRequest, duplication: Duplication) -> SafeString:
    text = f"Duplication {duplication.pk}"
    if not may_see(request, duplication):
        return format_html("{}, which is somebody else's", text)
    return format_html('<a href="{}">{}</a>', page_url(duplication), text)


def may_see(request: HttpRequest, duplication: Duplication) -> bool:
    return Duplication.viewable_by(request.user).filter(pk=duplication.pk).exists()


def page_url(duplication: Duplication) -> str:
    return reverse("admin:duplication_duplication_change", args=[duplication.pk])


def _refuse_too_many(request: HttpRequest) -> HttpResponse:
    messages.error(
        request,
        f"Nothing was started: more than {MAX_EPISODES} episodes are chosen. "
        f"Choose at most {MAX_EPISODES} at a time.",
    )
    return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
