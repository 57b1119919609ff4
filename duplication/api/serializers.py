from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from duplication.models import Duplication, IdMap
from duplication.services import MAX_LANES
from operations.models import Event
from operations.snapshots import snapshot


class StartSerializer(serializers.Serializer[Any]):
    """What a duplication is started with."""

    episode = serializers.IntegerField(min_value=1, help_text="The id of the episode to copy.")
    title = serializers.CharField(
        max_length=255, required=False, default="", help_text="The copy's title; else “… (copy)”."
    )
    lanes = serializers.IntegerField(
        min_value=1, max_value=MAX_LANES, required=False, allow_null=True, default=None
    )
    beside_active = serializers.BooleanField(
        default=False,
        help_text="Start another copy even while one of the same episode is being made.",
    )


class AfterSerializer(serializers.Serializer[Any]):
    """Where a reader of events left off."""

    after = serializers.IntegerField(min_value=0, default=0)


class StageSerializer(serializers.Serializer[Any]):
    stage = serializers.CharField()
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    rows_per_second = serializers.IntegerField(allow_null=True)
    seconds_left = serializers.FloatField(allow_null=True)


class DuplicationSerializer(serializers.ModelSerializer[Duplication]):
    url = serializers.HyperlinkedIdentityField(view_name="duplication-detail")
    requested_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    display_status = serializers.CharField(read_only=True)
    stages = serializers.SerializerMethodField()

    class Meta:
        model = Duplication
        fields = [
            "id",
            "url",
            "episode",
            "new_episode",
            "title",
            "status",
            "display_status",
            "requested_by",
            "lanes",
            "stages",
            "progress",
            "waiting_reason",
            "waiting_until",
            "error_code",
            "error_message",
            "report",
            "event_sequence",
            "created_at",
            "started_at",
            "ended_at",
        ]
        read_only_fields = fields

    @extend_schema_field(StageSerializer(many=True))
    def get_stages(self, duplication: Duplication) -> list[dict[str, Any]]:
        stages: list[dict[str, Any]] = snapshot(duplication)["stages"]
        return stages


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ["sequence", "name", "stage", "payload", "created_at"]
        read_only_fields = fields


class IdMapSerializer(serializers.ModelSerializer[IdMap]):
    class Meta:
        model = IdMap
        fields = ["type", "org_id", "new_id"]
        read_only_fields = fields
