"""Starting duplications from the list of episodes.

The action only leads to a page of its own, which shows what the copies would be
(`duplication.preview`) and starts nothing; its form starts. The form carries a key, so sending
it twice starts once.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from content.links import as_id
from content.models import Episode
from duplication.exceptions import CannotStart
from duplication.models import Duplication
from duplication.permissions import ADD, missing_permissions
from duplication.preview import expected_times, preview, preview_briefly, waiting_now, wording
from duplication.preview.resets import resets
from duplication.services import (
    MAX_TITLE_LENGTH,
    MEDIA_REQUIRED_NEEDS_COPY,
    Started,
    copy_title,
    start_duplication,
)
from operations.admin.telling import link, may_see, page_url, tell_of_started
from operations.exceptions import IdempotencyKeyReused
from operations.stages import label

MAX_EPISODES = 50


class Choice(NamedTuple):
    """One chosen episode. `refusal` says why it can't be duplicated, if so; `active` is the
    copy that is being made of it, as far as the user may know, if there is one; `line` how
    much it is, where there was time to count it."""

    episode: Episode
    refusal: str
    active: Duplication | None
    line: wording.Line | None = None


class StartForm(forms.Form):
    ids = forms.CharField(widget=forms.HiddenInput)
    key = forms.UUIDField(widget=forms.HiddenInput)
    title = forms.CharField(
        label="Title of the copy", max_length=MAX_TITLE_LENGTH, required=False, strip=True
    )
    media_strategy = forms.ChoiceField(
        label="Media files",
        choices=[
            (
                Duplication.MediaStrategy.SHARE.value,
                "Share them: the copy uses the original's files.",
            ),
            (
                Duplication.MediaStrategy.COPY.value,
                "Copy them: the copy gets files of its own. It takes longer, and room in storage.",
            ),
        ],
        initial=Duplication.MediaStrategy.SHARE.value,
        widget=forms.RadioSelect,
    )
    media_required = forms.BooleanField(
        label="Fail when a file to be copied is missing. Otherwise it is listed.",
        required=False,
        initial=False,
    )

    def clean(self) -> dict[str, Any]:
        chosen: dict[str, Any] = super().clean() or {}
        if (
            chosen.get("media_required")
            and chosen.get("media_strategy") != Duplication.MediaStrategy.COPY
        ):
            self.add_error("media_required", MEDIA_REQUIRED_NEEDS_COPY)
        return chosen


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
    context = {
        **admin.site.each_context(request),
        "title": "Duplicate an episode" if len(choices) == 1 else "Duplicate episodes",
        "opts": model_admin.opts,
        "missing": len(ids) - len(choices),
        "startable": len(_startable(choices)),
        "resets": wording.resets(resets()),
        "form": form,
        "media": form.media,
        **_preview(request, choices),
    }
    return TemplateResponse(request, "admin/duplication/duplication/start.html", context)


def _preview(request: HttpRequest, choices: list[Choice]) -> dict[str, Any]:
    """Everything about one; of several a line each, within the same time."""
    if len(choices) > 1:
        briefs = preview_briefly(each.episode for each in choices)
        times = dict(zip(briefs, expected_times(list(briefs.values())), strict=True))
        lines = {id: wording.line(brief, times[id]) for id, brief in briefs.items()}
        counted = [id for each in _startable(choices) if (id := each.episode.pk) in briefs]
        return {
            "choices": [each._replace(line=lines.get(each.episode.pk)) for each in choices],
            "counted": len(counted),
            "total": wording.total([briefs[id] for id in counted], [times[id] for id in counted])
            if counted
            else None,
            "waiting": waiting_now(),
        }
    found = preview(choices[0].episode, request.user)
    return {
        "choices": choices,
        "waiting": found.waiting,
        "preview": found,
        "preview_media": wording.media(found.media),
        "preview_links": wording.links(found.links),
        "preview_times": wording.times(found, *expected_times([found])),
        "leaving_links": [wording.leaving_link(each) for each in found.links.examples],
    }


def _startable(choices: list[Choice]) -> list[Choice]:
    return [each for each in choices if not each.refusal and not each.active]


def _chosen_ids(text: str) -> list[int]:
    ids = (as_id(each.strip()) for each in text.split(","))
    return list(dict.fromkeys(each for each in ids if each is not None))


def _choices(request: HttpRequest, ids: list[int]) -> list[Choice]:
    episodes = (
        Episode.objects.viewable_by(request.user)
        .filter(pk__in=ids)
        .select_related("owner")
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
            refusal=" ".join(missing_permissions(request.user, episode)),
            active=active.get(episode.pk),
        )
        for each in ids
        if (episode := episodes.get(each)) is not None
    ]


# --- starting ----------------------------------------------------------------------


def _start(
    request: HttpRequest,
    choices: list[Choice],
    *,
    key: uuid.UUID,
    media_strategy: str,
    media_required: bool,
    ids: str,
    title: str,
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
                media_strategy=media_strategy,
                media_required=media_required,
            )
        except IdempotencyKeyReused:
            messages.error(
                request,
                f"“{episode.title}” was not duplicated again: this page was sent before, with "
                "another title or media. Choose the episode once more to make another copy.",
            )
        except CannotStart as error:
            messages.error(request, f"“{episode.title}” was not duplicated. {error}")
        else:
            outcomes.append(started)
            if not started.created:
                messages.info(request, _no_second_copy(request, episode, started.duplication))
    tell_of_started(request, [each.duplication for each in outcomes if each.created])
    if not outcomes:
        return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
    if len(choices) == 1 and may_see(request, outcomes[0].duplication):
        return HttpResponseRedirect(page_url(outcomes[0].duplication))
    return HttpResponseRedirect(reverse("admin:duplication_duplication_changelist"))


def _no_second_copy(request: HttpRequest, episode: Episode, duplication: Duplication) -> SafeString:
    return format_html(
        "No second copy of “{}” was started. {}: {}.",
        episode.title,
        link(request, duplication),
        label(duplication.display_status).lower(),
    )


def _refuse_too_many(request: HttpRequest) -> HttpResponse:
    messages.error(
        request,
        f"Nothing was started: more than {MAX_EPISODES} episodes are chosen. "
        f"Choose at most {MAX_EPISODES} at a time.",
    )
    return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
