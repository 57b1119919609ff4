from __future__ import annotations

import django_filters

from duplication.levels import TREE
from duplication.models import CatchUp, DriftFinding, Duplication, IdMap, LinkFinding, MediaFile


class DuplicationFilter(django_filters.FilterSet):
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")
    # Numbers, not choices: those would tell which episodes of others exist.
    episode = django_filters.NumberFilter(field_name="org_episode_id")
    new_episode = django_filters.NumberFilter(field_name="new_episode_id")

    class Meta:
        model = Duplication
        fields = ["status", "episode", "new_episode", "created_after", "created_before"]


class IdMapFilter(django_filters.FilterSet):
    type = django_filters.ChoiceFilter(choices=[(level.node, level.node) for level in TREE])

    class Meta:
        model = IdMap
        fields = ["type", "org_id", "new_id"]


class LinkFindingFilter(django_filters.FilterSet):
    mended = django_filters.BooleanFilter(
        field_name="mended_at", lookup_expr="isnull", exclude=True
    )

    class Meta:
        model = LinkFinding
        fields = ["points_to", "mended"]


class MediaFileFilter(django_filters.FilterSet):
    class Meta:
        model = MediaFile
        fields = ["status"]


class DriftFindingFilter(django_filters.FilterSet):
    class Meta:
        model = DriftFinding
        fields = ["change", "state", "type"]


class CatchUpFilter(django_filters.FilterSet):
    class Meta:
        model = CatchUp
        fields = ["status", "duplication"]
