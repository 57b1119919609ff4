"""Starting generations from the list of episodes.

The action only leads to a page of its own, which tells what they would use, cost and take
(`generation.admin.quotes`) and starts nothing; its form starts. What was asked for must be what
was shown: with other options than those the page told of, it tells of them first. The form
carries a key, so sending it twice starts once.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from content.links import as_id
from content.models import Episode
from generation.admin.quotes import Choice, choose, limit, together, with_estimates
from generation.exceptions import CannotGenerate
from generation.kind import GENERATION
from generation.models import GenerationJob, StageName
from generation.options import FASTEST, MAX_VOICE_CHARS, SLOWEST, resolve
from generation.pages.presenting import reasons
from generation.pages.presenting.writing import Reason
from generation.permissions import ADD
from generation.providers.registry import speech_provider
from generation.services import start_many
from operations import gates
from operations.admin.telling import link, may_see, page_url, tell_of_started
from operations.gates.concurrency import no_place_free
from operations.stages import label

MAX_EPISODES = 50

# What is offered as the first stage that is made anew, and what some episode must have for it.
STAGES: tuple[tuple[StageName, StageName, str], ...] = (
    (StageName.OUTLINE, StageName.OUTLINE, "Everything: the outline, the script and the audio."),
    (StageName.SCRIPT, StageName.OUTLINE, "The script and the audio. The outline is kept."),
    (
        StageName.AUDIO,
        StageName.SCRIPT,
        "The audio: for another voice, or after the script was edited. Outline and script are "
        "kept, and so is each sound that stays the same.",
    ),
    (StageName.UPLOAD, StageName.AUDIO, "The upload alone. All that was said is kept."),
)
WHAT_FITS = "Only what doesn't fit the content as it is now, or isn't there yet."


class StartForm(forms.Form):
    ids = forms.CharField(widget=forms.HiddenInput)
    key = forms.UUIDField(widget=forms.HiddenInput)
    from_stage = forms.ChoiceField(
        label="What is made anew", required=False, widget=forms.RadioSelect
    )
    host = forms.CharField(
        label="Voice of the host", max_length=MAX_VOICE_CHARS, required=False, strip=True
    )
    guest = forms.CharField(
        label="Voice of the guest", max_length=MAX_VOICE_CHARS, required=False, strip=True
    )
    speed = forms.FloatField(
        label="Speed",
        min_value=SLOWEST,
        max_value=FASTEST,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    stop_before_audio = forms.BooleanField(
        label="Stop before the audio, so that the script can be read and edited first.",
        required=False,
    )

    def __init__(self, choices: list[Choice], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        there = {stage for choice in choices if choice.is_startable for stage in choice.has}
        offered = [(stage.value, text) for stage, needs, text in STAGES if needs in there]
        self.fields["from_stage"].choices = [("", WHAT_FITS), *offered]  # type: ignore[attr-defined]
        if not offered:
            del self.fields["from_stage"]
        if all(choice.episode.type == Episode.Type.SOLO for choice in choices):
            del self.fields["guest"]
        voices, speed = _unless_said(choices)
        for speaker, voice in voices.items():
            if speaker in self.fields:
                self.fields[speaker].widget.attrs["placeholder"] = voice
        self.fields["speed"].widget.attrs["placeholder"] = f"{speed:g}"

    def options(self) -> dict[str, Any]:
        """What is asked for, as `estimate` and `start_generation` take it."""
        said = self.cleaned_data if self.is_bound and self.is_valid() else self.initial
        voices = {who: said[who] for who in ("host", "guest") if said.get(who)}
        return {
            "from_stage": said.get("from_stage", ""),
            "voices": voices or None,
            "speed": said.get("speed"),
        }


def _unless_said(choices: list[Choice]) -> tuple[dict[str, str], float]:
    """The voices and the speed that are used where none are said; of one episode, its own."""
    speech = speech_provider()
    if len(choices) == 1:
        try:
            options = resolve(choices[0].episode, speech)
        except CannotGenerate:  # what it was spoken with last isn't possible any more
            pass
        else:
            return options.voices, options.speed
    return dict(speech.voices), 1.0


def _signature(options: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


# --- the action ----------------------------------------------------------------


def offer_on_episodes() -> None:
    """Put the action on the list of episodes, whose app doesn't know this one."""
    episodes = admin.site.get_model_admin(Episode)
    episodes.actions = [*(episodes.actions or ()), generate_selected]
    # What "generate" in the action's permissions stands for.
    episodes.has_generate_permission = may_generate  # type: ignore[attr-defined]


def may_generate(request: HttpRequest) -> bool:
    return request.user.has_perm(ADD)


@admin.action(permissions=["generate"], description="Generate audio")
def generate_selected(
    model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse:
    # "Select all" hands over every episode there is: read one more than may be chosen.
    ids = list(queryset.order_by("-id").values_list("pk", flat=True)[: MAX_EPISODES + 1])
    if len(ids) > MAX_EPISODES:
        return _refuse_too_many(request)
    return HttpResponseRedirect(start_url(ids))


def start_url(ids: list[int]) -> str:
    query = urlencode({"ids": ",".join(map(str, ids))}, safe=",")
    return f"{reverse('admin:generation_generationjob_start')}?{query}"


def start_one_url(episode_id: int) -> str:
    """Takes `?from=`, the stage to begin with."""
    return reverse("admin:generation_generationjob_start_one", args=[episode_id])


# --- the page --------------------------------------------------------------------


def start_page(
    model_admin: admin.ModelAdmin, request: HttpRequest, episode_id: int | None = None
) -> HttpResponse:
    """GET shows what would be started (of one episode, or of `?ids=`), POST starts it."""
    source = request.POST if request.method == "POST" else request.GET
    ids = _chosen_ids(str(episode_id or source.get("ids", "")))
    if len(ids) > MAX_EPISODES:
        return _refuse_too_many(request)
    choices = choose(request, ids)
    if not choices:
        messages.error(request, "No episode is chosen that is there and yours to see.")
        return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
    form, options = _form(request, choices, ids)
    if options is not None and "look" not in request.POST and request.method == "POST":
        if request.POST.get("seen") == _signature(options):
            return _start(request, choices, options, form.cleaned_data)
        messages.warning(
            request,
            "Nothing is started yet: the figures below are for what you have chosen now. "
            "Look at them, then generate.",
        )
    return _shown(model_admin, request, choices, form, options, missing=len(ids) - len(choices))


def _form(
    request: HttpRequest, choices: list[Choice], ids: list[int]
) -> tuple[StartForm, dict[str, Any] | None]:
    """The form with what was said, and the options; None where those aren't valid."""
    if request.method == "POST":
        form = StartForm(choices, request.POST)
        return form, form.options() if form.is_valid() else None
    form = StartForm(choices, initial={"ids": ",".join(map(str, ids)), "key": uuid.uuid4()})
    wanted = request.GET.get("from", "")
    if "from_stage" in form.fields:
        offered = [value for value, _ in form.fields["from_stage"].choices]  # type: ignore[attr-defined]
        form.initial["from_stage"] = wanted if wanted in offered else ""
    return form, form.options()


def _shown(
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    choices: list[Choice],
    form: StartForm,
    options: dict[str, Any] | None,
    missing: int,
) -> HttpResponse:
    if options is not None:
        choices = with_estimates(choices, options)
    startable = [each for each in choices if each.is_startable]
    context = {
        **admin.site.each_context(request),
        "title": "Generate audio",
        "opts": model_admin.opts,
        "missing": missing,
        "choices": choices,
        "startable": len(startable),
        "not_estimated": sum(each.estimate is None for each in startable),
        "together": together(choices) if options is not None else None,
        "limit": limit(),
        "left_out": _left_out(choices),
        "places": settings.OPERATION_MAX_CONCURRENT_JOBS,
        "waiting": no_place_free(GENERATION) or gates.first_wait_of_kind(GENERATION),
        "form": form,
        # What the figures are for.
        "seen": _signature(options) if options is not None else "",
        "media": form.media,
    }
    return TemplateResponse(request, "admin/generation/generationjob/start.html", context)


def _left_out(choices: list[Choice]) -> list[Reason]:
    """What of a single episode isn't said."""
    expected = choices[0].estimate if len(choices) == 1 else None
    return reasons(expected.left_out) if expected else []


def _chosen_ids(text: str) -> list[int]:
    ids = (as_id(each.strip()) for each in text.split(","))
    return list(dict.fromkeys(each for each in ids if each is not None))


# --- starting ----------------------------------------------------------------------


def _start(
    request: HttpRequest, choices: list[Choice], options: dict[str, Any], said: dict[str, Any]
) -> HttpResponse:
    """Start what may be started, tell of the rest, and lead to what was started."""
    refused = [(each.episode, each.refusal) for each in choices if each.refusal]
    outcomes = start_many(
        [each.episode for each in choices if not each.refusal],
        requested_by=request.user,
        # With other options the same page means another wish.
        idempotency_key=f"admin:{said['key']}:{_signature(options)}:{said['stop_before_audio']}",
        stop_before_audio=said["stop_before_audio"],
        **options,
    )
    refused += [(each.episode, each.refusal) for each in outcomes if each.refusal]
    for episode, refusal in refused:
        messages.error(request, f"“{episode.title}” is not generated. {refusal}")
    answered = [each.started for each in outcomes if each.started]
    for started in answered:
        if not started.created:
            messages.info(request, _no_second(request, started.generation))
    tell_of_started(request, [each.generation for each in answered if each.created])
    if not answered:
        return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
    if len(choices) == 1 and may_see(request, answered[0].generation):
        return HttpResponseRedirect(page_url(answered[0].generation))
    return HttpResponseRedirect(reverse("admin:generation_generationjob_changelist"))


def _no_second(request: HttpRequest, generation: GenerationJob) -> SafeString:
    return format_html(
        "No second generation of “{}” was started. {}: {}.",
        generation.episode.title,
        link(request, generation),
        label(generation.display_status).lower(),
    )


def _refuse_too_many(request: HttpRequest) -> HttpResponse:
    messages.error(
        request,
        f"Nothing was started: more than {MAX_EPISODES} episodes are chosen. "
        f"Choose at most {MAX_EPISODES} at a time.",
    )
    return HttpResponseRedirect(reverse("admin:content_episode_changelist"))
