"""How episodes and their nodes look over the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from content.models import Block, Episode, Item, Part
from content.services import SELECTABLE_STATUSES, update_episode


class EpisodeSerializer(serializers.ModelSerializer[Episode]):
    """Title, type and status can be written; the rest is the system's."""

    status = serializers.ChoiceField(choices=SELECTABLE_STATUSES)
    owner_username = serializers.CharField(source="owner.username", read_only=True, default=None)
    audio_url = serializers.SerializerMethodField(help_text="Absolute; empty: there is none.")

    class Meta:
        model = Episode
        fields = [
            "id",
            "title",
            "type",
            "status",
            "owner",
            "owner_username",
            "orig_id",
            "audio_url",
            "generation_status",
            "generation_progress",
            "generation_error",
            "generation_started_at",
            "generation_completed_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [name for name in fields if name not in ("title", "type", "status")]

    def get_audio_url(self, episode: Episode) -> str:
        request = self.context.get("request")
        is_path = episode.audio_url.startswith("/")
        return (
            request.build_absolute_uri(episode.audio_url)
            if request and is_path
            else (episode.audio_url)
        )

    def update(self, instance: Episode, validated_data: dict[str, Any]) -> Episode:
        update_episode(episode=instance, changes=validated_data)
        return instance


_NODE = ["id", "position", "name", "orig_id", "created_at", "updated_at"]


class PartSerializer(serializers.ModelSerializer[Part]):
    class Meta:
        model = Part
        fields = ["episode", *_NODE]


class ItemSerializer(serializers.ModelSerializer[Item]):
    class Meta:
        model = Item
        fields = ["part", *_NODE]


class BlockSerializer(serializers.ModelSerializer[Block]):
    class Meta:
        model = Block
        fields = ["item", *_NODE, "field_1", "field_2", "field_3", "media"]
