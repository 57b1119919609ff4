from __future__ import annotations

from typing import Any

from rest_framework import serializers

from duplication.models import (
    CatchUp,
    DriftFinding,
    Duplication,
    IdMap,
    LinkFinding,
    MediaFile,
)
from duplication.services import MAX_LANES, MAX_TITLE_LENGTH, MEDIA_REQUIRED_NEEDS_COPY
from operations.api.serializers import OperationSerializer


class StartSerializer(serializers.Serializer[Any]):
    """What a duplication is started with."""

    episode = serializers.IntegerField(min_value=1, help_text="The id of the episode to copy.")
    title = serializers.CharField(
        max_length=MAX_TITLE_LENGTH,
        required=False,
        default="",
        help_text="The copy's title; else “… (copy)”.",
    )
    lanes = serializers.IntegerField(
        min_value=1, max_value=MAX_LANES, required=False, allow_null=True, default=None
    )
    beside_active = serializers.BooleanField(
        default=False,
        help_text="Start another copy even while one of the same episode is being made.",
    )
    media_strategy = serializers.ChoiceField(
        choices=Duplication.MediaStrategy.choices,
        default=Duplication.MediaStrategy.SHARE,
        help_text="What becomes of the files that blocks name: the copy shares them, or gets its "
        "own.",
    )
    media_required = serializers.BooleanField(
        default=False, help_text="Fail when a file to be copied is missing."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["media_required"] and attrs["media_strategy"] != Duplication.MediaStrategy.COPY:
            raise serializers.ValidationError({"media_required": MEDIA_REQUIRED_NEEDS_COPY})
        return attrs


class DuplicationSerializer(OperationSerializer):
    url = serializers.HyperlinkedIdentityField(view_name="duplication-detail")

    class Meta:
        model = Duplication
        fields = [
            *OperationSerializer.Meta.fields,
            "episode",
            "new_episode",
            "title",
            "lanes",
            "media_strategy",
            "media_required",
            "report",
            "removed_at",
        ]
        read_only_fields = fields


class IdMapSerializer(serializers.ModelSerializer[IdMap]):
    class Meta:
        model = IdMap
        fields = ["type", "org_id", "new_id"]
        read_only_fields = fields


class LinkFindingSerializer(serializers.ModelSerializer[LinkFinding]):
    link = serializers.CharField(help_text="As it stands in the text.", read_only=True)

    class Meta:
        model = LinkFinding
        fields = [
            "id",
            "points_to",
            "link",
            "type",
            "new_id",
            "field",
            "target_episode_id",
            "mended_at",
            "mended_to",
        ]
        read_only_fields = fields


class MediaFileSerializer(serializers.ModelSerializer[MediaFile]):
    class Meta:
        model = MediaFile
        fields = ["id", "source", "target", "status", "size", "checksum"]
        read_only_fields = fields


class DriftFindingSerializer(serializers.ModelSerializer[DriftFinding]):
    class Meta:
        model = DriftFinding
        fields = ["id", "change", "state", "type", "org_id", "new_id", "found_at"]
        read_only_fields = fields


class CatchUpSerializer(OperationSerializer):
    url = serializers.HyperlinkedIdentityField(view_name="catch-up-detail")

    class Meta:
        model = CatchUp
        fields = [*OperationSerializer.Meta.fields, "duplication"]
        read_only_fields = fields


class MendSerializer(serializers.Serializer[Any]):
    """Where a link is to point."""

    target = serializers.CharField(max_length=64, help_text="part/ID, item/ID or block/ID")
