"""Having an episode's audio made: first what it would take and cost, then the start."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from content.models import Episode
from generation import limits
from generation.estimate import Estimate, estimate
from generation.exceptions import CannotGenerate, LimitReached
from generation.models import GenerationJob, StageName
from generation.options import FASTEST, MAX_VOICE_CHARS, SLOWEST, resolve
from generation.pages import presenting
from generation.pages.presenting.once_more import WAYS
from generation.permissions import check_may_generate
from generation.providers.registry import speech_provider
from generation.script.script import SPEAKERS_BY_TYPE
from generation.services import ACTIVE, start_generation
from operations import watching
from operations.exceptions import IdempotencyKeyReused

# English as most voices speak it.
SPOKEN_CHARS_PER_SECOND = 15
CHARS_PER_WORD = 6


class StartForm(forms.Form):
    """The key makes a second click, or a reloaded page, answer the same generation. Has a voice
    for each who speaks in the episode; an upload speaks nothing."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    from_stage = forms.ChoiceField(
        choices=[("", ""), *StageName.choices], required=False, widget=forms.HiddenInput
    )
    speed = forms.FloatField(
        label="Speed",
        min_value=SLOWEST,
        max_value=FASTEST,
        help_text="1 is the voice's own.",
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )
    stop_before_audio = forms.BooleanField(
        label="Stop when the script is there, so that I can read and edit it", required=False
    )

    def __init__(self, *args: Any, episode: Episode, from_stage: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if from_stage == StageName.UPLOAD:
            del self.fields["speed"]
        else:
            for speaker in SPEAKERS_BY_TYPE[episode.type]:
                self.fields[f"voice_{speaker}"] = forms.CharField(
                    label=f"The {speaker}'s voice", max_length=MAX_VOICE_CHARS, strip=True
                )
        if from_stage in (StageName.AUDIO, StageName.UPLOAD):
            del self.fields["stop_before_audio"]

    def voice_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith("voice_")]

    def options(self) -> dict[str, Any]:
        """What `start_generation` and `estimate` take, of valid data."""
        voices = {
            name.removeprefix("voice_"): value
            for name, value in self.cleaned_data.items()
            if name.startswith("voice_")
        }
        return {
            "from_stage": self.cleaned_data["from_stage"],
            "voices": voices or None,
            "speed": self.cleaned_data.get("speed"),
        }


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def start(request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows what it would take and starts nothing, nor does POST with `estimate`; any other
    POST starts it. `?from=` names the stage to begin with."""
    episode = get_object_or_404(Episode.objects.viewable_by(request.user), pk=pk)
    try:
        check_may_generate(request.user, episode)
    except PermissionDenied as denied:
        messages.error(request, str(denied))
        return HttpResponseRedirect(reverse("my-episodes"))
    if request.method != "POST" and (active := _active(request.user, episode)):
        messages.info(request, "The audio of this episode is being made already: this is it.")
        return HttpResponseRedirect(active.get_absolute_url())
    from_stage = _stage(request)
    refusal, form = "", None
    try:
        form = _form(request, episode, from_stage)
        is_start = request.method == "POST" and "estimate" not in request.POST
        if is_start and form.is_valid() and (started := _start(request, episode, form)):
            return HttpResponseRedirect(started.get_absolute_url())
    except CannotGenerate as error:
        refusal = str(error)
    return _page(request, episode, from_stage, form, refusal)


def _stage(request: HttpRequest) -> str:
    asked = request.POST.get("from_stage", request.GET.get("from", ""))
    return asked if asked in StageName else ""


def _active(user: Any, episode: Episode) -> GenerationJob | None:
    found: GenerationJob | None = (
        GenerationJob.viewable_by(user).filter(episode=episode, status__in=ACTIVE).first()
    )
    return found


def _form(request: HttpRequest, episode: Episode, from_stage: str) -> StartForm:
    """Raises CannotGenerate where it can't begin with the stage."""
    if request.method == "POST":
        return StartForm(request.POST, episode=episode, from_stage=from_stage)
    chosen = resolve(episode, speech_provider(), from_stage=from_stage)
    voices = {f"voice_{speaker}": voice for speaker, voice in chosen.voices.items()}
    initial = {"key": uuid.uuid4(), "from_stage": from_stage, "speed": chosen.speed, **voices}
    return StartForm(initial=initial, episode=episode, from_stage=from_stage)


def _start(request: HttpRequest, episode: Episode, form: StartForm) -> GenerationJob | None:
    try:
        generation, created = start_generation(
            episode_id=episode.pk,
            requested_by=request.user,
            stop_before_audio=form.cleaned_data.get("stop_before_audio", False),
            idempotency_key=f"page:{form.cleaned_data['key']}:{episode.pk}",
            **form.options(),
        )
    except IdempotencyKeyReused:
        form.add_error(None, "This page was sent before, with other choices. Open it once more.")
        return None
    except CannotGenerate as error:
        form.add_error(None, str(error))
        return None
    mine = GenerationJob.viewable_by(request.user).filter(pk=generation.pk)
    if not created and not mine.exists():
        form.add_error(None, "The audio of this episode is being made for somebody else just now.")
        return None
    return generation


def _page(
    request: HttpRequest, episode: Episode, from_stage: str, form: StartForm | None, refusal: str
) -> HttpResponse:
    expected = None
    limit = ""
    if form is not None:
        try:
            expected = _expected(episode, from_stage, form)
            if expected:
                limits.check(expected.cost)
        except LimitReached as reached:
            limit = str(reached)
        except CannotGenerate as error:
            if form.is_bound:
                if not form.non_field_errors():
                    form.add_error(None, str(error))
            else:
                refusal = str(error)
    return TemplateResponse(
        request,
        "generation/start.html",
        {
            "title": f"Generate the audio of “{episode.title}”",
            "section": "episodes",
            "episode": episode,
            "form": form,
            "way": next(way for way in WAYS if way.stage == from_stage),
            "refusal": refusal,
            "limit": limit,
            "expected": expected and _told(expected),
        },
    )


def _expected(episode: Episode, from_stage: str, form: StartForm) -> Estimate | None:
    """Of what is chosen in the form; None where that isn't valid."""
    if not form.is_bound:
        return estimate(episode, from_stage=from_stage)
    return estimate(episode, **form.options()) if form.is_valid() else None


def _told(expected: Estimate) -> dict[str, Any]:
    return {
        "estimate": expected,
        "words": expected.chars // CHARS_PER_WORD,
        "tokens": expected.tokens_in + expected.tokens_out,
        "listening": watching.duration(expected.chars / SPOKEN_CHARS_PER_SECOND),
        "chars_to_pay": expected.chars - expected.cached_chars,
        "cached_percent": int(expected.cached_share * 100),
        "takes": None if expected.seconds is None else watching.duration(expected.seconds),
        "left_out": presenting.reasons(expected.left_out),
    }
