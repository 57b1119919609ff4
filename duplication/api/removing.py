"""Taking copies away, over HTTP: what is asked for, and the removals themselves."""

from __future__ import annotations

from typing import Any

import django_filters
from rest_framework import serializers

from duplication.models import Removal
from operations.api.serializers import OperationSerializer
from operations.api.views import OperationViewSet


class RemovalRequestSerializer(serializers.Serializer[Any]):
    """What a removal is started with."""

    even_if_changed = serializers.BooleanField(
        default=False,
        help_text="Also where the copy was changed or duplicated since: the changes are lost.",
    )


class RemovalSerializer(OperationSerializer):
    url = serializers.HyperlinkedIdentityField(view_name="removal-detail")

    class Meta:
        model = Removal
        fields = [*OperationSerializer.Meta.fields, "duplication", "even_if_changed"]
        read_only_fields = fields


class RemovalFilter(django_filters.FilterSet):
    # A number, not a choice: that would tell which duplications of others exist.
    duplication = django_filters.NumberFilter(field_name="duplication_id")

    class Meta:
        model = Removal
        fields = ["status", "duplication"]


class RemovalViewSet(OperationViewSet[Removal]):
    """Copies that are taken away: undone, or cleaned up after."""

    serializer_class = RemovalSerializer
    filterset_class = RemovalFilter
    model = Removal
    queryset = Removal.objects.none()
