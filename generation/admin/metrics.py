"""What generations used and cost: the list, and above it the totals of the days it is of."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from content.admin.lists import ReadOnlyAdmin
from generation.admin.lists import EpisodeFilter, ProviderFilter, episode_link
from generation.admin.summing import Days, summed_up
from generation.limits import usd
from generation.models import GenerationJob, GenerationMetrics
from generation.totals import between
from operations import watching

DAYS = 30
MAX_DAYS = 366
RANGE = ("since", "until")


class RangeForm(forms.Form):
    since = forms.DateField(
        label="From", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label="to", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        days = days_of(said.get("since"), said.get("until"))
        if days.since > days.until:
            raise forms.ValidationError("The first day is after the last one.")
        if (days.until - days.since).days >= MAX_DAYS:
            raise forms.ValidationError(f"Choose at most {MAX_DAYS} days.")
        return said


def days_of(since: dt.date | None, until: dt.date | None) -> Days:
    """The last DAYS, where nothing is said."""
    until = until or timezone.now().astimezone(dt.UTC).date()
    if since is None:
        since = dt.date.fromordinal(max(until.toordinal() - DAYS + 1, 1))
    return Days(since, until)


def days_in(request: HttpRequest) -> tuple[RangeForm, Days]:
    """The days that the address asks for, with their form; the last DAYS for nonsense."""
    form = RangeForm({name: request.GET.get(name, "") for name in RANGE})
    if form.is_valid():
        return form, days_of(form.cleaned_data["since"], form.cleaned_data["until"])
    return form, days_of(None, None)


class ListOfDays(ChangeList):
    """Only metrics of the days that the address asks for."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in RANGE}

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        _, (since, until) = days_in(request)
        return between(super().get_queryset(request, *args, **kwargs), since, until)


class OutcomeFilter(admin.SimpleListFilter):
    """How one ended; what still runs has no metrics."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        status = GenerationJob.Status
        ends = (status["COMPLETED"], status["FAILED"], status["CANCELLED"])
        return [(each.value, each.label) for each in ends]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(outcome=self.value()) if self.value() else queryset


@admin.register(GenerationMetrics)
class MetricsAdmin(ReadOnlyAdmin):
    change_list_template = "admin/generation/generationmetrics/change_list.html"
    list_display = (
        "ended",
        "outcome",
        "episode_title",
        "cost",
        "type",
        "providers",
        "tokens",
        "characters",
        "from_the_cache",
        "worked",
    )
    list_display_links = ("ended",)
    list_filter = (OutcomeFilter, "type", ProviderFilter, EpisodeFilter)
    list_select_related = ("episode",)
    ordering = ("-created_at", "-id")
    fields = (
        "episode",
        "generation",
        "requested_by",
        "type",
        "outcome",
        "text_provider",
        "speech_provider",
        "tokens_in",
        "tokens_out",
        "tts_chars_used",
        "chars_cached",
        "from_the_cache",
        "cost",
        "worked",
        "audio",
        "stages",
        "created_at",
    )
    readonly_fields = ("from_the_cache", "cost", "worked", "audio")

    # --- the list ----------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ListOfDays

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        form, days = days_in(request)
        response: Any = super().changelist_view(
            request,
            {
                "title": "Generation metrics",
                "range_form": form,
                "days": days,
                **(extra_context or {}),
            },
        )
        listed = getattr(response, "context_data", {}).get("cl")
        if listed is not None:
            response.context_data |= summed_up(listed.queryset, days)
        return response

    @admin.display(description="ended")
    def ended(self, metrics: GenerationMetrics) -> str:
        return date_format(metrics.created_at, "j M Y H:i")

    @admin.display(description="episode")
    def episode_title(self, metrics: GenerationMetrics) -> str:
        return episode_link(metrics.episode)

    @admin.display(description="text + speech by")
    def providers(self, metrics: GenerationMetrics) -> str:
        return f"{metrics.text_provider} + {metrics.speech_provider}"

    @admin.display(description="tokens")
    def tokens(self, metrics: GenerationMetrics) -> str:
        return f"{metrics.tokens_used:,}"

    @admin.display(description="characters paid")
    def characters(self, metrics: GenerationMetrics) -> str:
        return f"{metrics.tts_chars_used:,}"

    @admin.display(description="from the cache")
    def from_the_cache(self, metrics: GenerationMetrics) -> str:
        return f"{int(metrics.cached_share * 100)} %"

    @admin.display(description="cost")
    def cost(self, metrics: GenerationMetrics) -> str:
        return usd(metrics.estimated_cost)

    @admin.display(description="worked for")
    def worked(self, metrics: GenerationMetrics) -> str:
        return watching.duration(metrics.actual_duration)

    @admin.display(description="audio")
    def audio(self, metrics: GenerationMetrics) -> str:
        return watching.duration(metrics.audio_seconds) if metrics.audio_seconds else "–"
