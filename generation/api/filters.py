from __future__ import annotations

import django_filters

from generation.models import GenerationJob, GenerationSegment


class GenerationFilter(django_filters.FilterSet):
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")
    # A number, not a choice: that would tell which episodes of others exist.
    episode = django_filters.NumberFilter(field_name="episode_id")

    class Meta:
        model = GenerationJob
        fields = ["status", "episode", "created_after", "created_before"]


class SegmentFilter(django_filters.FilterSet):
    class Meta:
        model = GenerationSegment
        fields = ["state", "chapter"]
