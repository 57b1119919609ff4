"""Query-string filters of the episode list."""

from __future__ import annotations

import django_filters

from content.models import Episode
from content.services import SELECTABLE_STATUSES


class EpisodeFilterSet(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=SELECTABLE_STATUSES)
    type = django_filters.ChoiceFilter(choices=Episode.Type.choices)
    generation_status = django_filters.ChoiceFilter(choices=Episode.GenerationStatus.choices)
    owner = django_filters.NumberFilter(field_name="owner_id", label="The owner's id.")
    orig_id = django_filters.NumberFilter(label="The id of the episode that it is a copy of.")
    created_after = django_filters.IsoDateTimeFilter(
        field_name="created_at", lookup_expr="gte", label="Created at this time or later."
    )
    created_before = django_filters.IsoDateTimeFilter(
        field_name="created_at", lookup_expr="lt", label="Created before this time."
    )
    search = django_filters.CharFilter(
        field_name="title", lookup_expr="icontains", label="Words that the title contains."
    )

    class Meta:
        model = Episode
        fields: list[str] = []
