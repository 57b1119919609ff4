"""What every kind of operation looks like over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from operations.keys import as_json
from operations.models import Event, Operation
from operations.snapshots import snapshot
from operations.verbs import MAX_AT_ONCE, VERBS, offered


class StageSerializer(serializers.Serializer[Any]):
    stage = serializers.CharField()
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    rows_per_second = serializers.IntegerField(allow_null=True)
    seconds_left = serializers.FloatField(allow_null=True)


class OperationSerializer(serializers.ModelSerializer[Any]):
    """Base: a kind's serializer adds its own fields to `fields`."""

    requested_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    display_status = serializers.CharField(read_only=True)
    stages = serializers.SerializerMethodField()
    verbs = serializers.SerializerMethodField(
        help_text="What the caller could do to it now: pause, resume, retry, cancel."
    )

    class Meta:
        fields: ClassVar[list[str]] = [
            "id",
            "url",
            "status",
            "display_status",
            "verbs",
            "requested_by",
            "stages",
            "progress",
            "waiting_reason",
            "waiting_until",
            "error_code",
            "error_message",
            "event_sequence",
            "created_at",
            "started_at",
            "ended_at",
        ]

    @extend_schema_field(StageSerializer(many=True))
    def get_stages(self, operation: Operation) -> list[dict[str, Any]]:
        stages: list[dict[str, Any]] = snapshot(operation)["stages"]
        return stages

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_verbs(self, operation: Operation) -> list[str]:
        return [verb.name for verb in offered(operation, self.context["request"].user)]


class AfterSerializer(serializers.Serializer[Any]):
    """Where a reader of events left off."""

    after = serializers.IntegerField(min_value=0, default=0)


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ["sequence", "name", "stage", "payload", "created_at"]
        read_only_fields = fields


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]})
class KeyField(serializers.Field[Any, Any, Any, Any]):
    """An operation's id, of whatever type its kind has."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": "An id is a number from 1 on, or a text."
    }

    def to_internal_value(self, data: Any) -> int | str:
        if not isinstance(data, str) and (type(data) is not int or data < 1):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> int | str:
        return as_json(value)


class ControlSerializer(serializers.Serializer[Any]):
    """One verb for many operations."""

    verb = serializers.ChoiceField(
        choices=[(name, verb.explanation) for name, verb in VERBS.items()]
    )
    ids = serializers.ListField(child=KeyField(), min_length=1, max_length=MAX_AT_ONCE)


class OutcomeSerializer(serializers.Serializer[Any]):
    """What became of one of them. `refusal` is empty where it was done."""

    id = KeyField(source="operation_id")
    display_status = serializers.CharField(
        source="operation.display_status", allow_null=True, default=None
    )
    refusal = serializers.CharField()
