from __future__ import annotations

import django_filters

from duplication.levels import TREE
from duplication.models import Duplication, IdMap


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
