"""What a preview is asked with and how it is written down."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from duplication.models import Duplication
from duplication.services import MAX_LANES


class PreviewRequestSerializer(serializers.Serializer[Any]):
    episode = serializers.IntegerField(min_value=1, help_text="The id of the episode to copy.")
    media_strategy = serializers.ChoiceField(
        Duplication.MediaStrategy.choices, default=Duplication.MediaStrategy.SHARE
    )
    lanes = serializers.IntegerField(
        min_value=1, max_value=MAX_LANES, required=False, allow_null=True, default=None
    )


class CountSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    exact = serializers.BooleanField(
        help_text="False: at least so many; the time was over before all were counted."
    )


class LevelCountSerializer(serializers.Serializer[Any]):
    stage = serializers.CharField()
    rows = CountSerializer()


class ExpectedSerializer(serializers.Serializer[Any]):
    seconds = serializers.FloatField(
        allow_null=True, help_text="Without waiting. Null: nothing is known; `text` says why."
    )
    copies = serializers.IntegerField(help_text="From how many past copies.")
    exact = serializers.BooleanField(help_text="False: longer, because not all was counted.")
    text = serializers.CharField()


class MediaSerializer(serializers.Serializer[Any]):
    files = CountSerializer(help_text="Distinct files.")
    bytes = CountSerializer()
    missing = CountSerializer(help_text="Files that are not in storage.")
    missing_examples = serializers.ListField(child=serializers.CharField())
    unreadable = serializers.IntegerField(help_text="Files whose size the storage didn't tell.")
    error = serializers.CharField(help_text="Why it didn't tell the first one's.")


class LeavingLinkSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="The level of the row that holds the link.")
    id = serializers.IntegerField()
    field = serializers.CharField()
    target = serializers.CharField()
    episode = serializers.IntegerField(
        allow_null=True, help_text="The episode it leads to. Null: it leads to nothing."
    )


class LinksSerializer(serializers.Serializer[Any]):
    inside = CountSerializer(help_text="These will point into the copy.")
    external = CountSerializer(help_text="To other episodes; they stay as they are.")
    unresolved = CountSerializer(help_text="To nothing; they stay as they are.")
    examples = LeavingLinkSerializer(many=True, help_text="The first that stay as they are.")


class ResetSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="In words.")
    value = serializers.CharField(help_text="What it becomes, in words.")
    levels = serializers.ListField(child=serializers.CharField())


class ActiveSerializer(serializers.Serializer[Any]):
    duplication = serializers.IntegerField(
        allow_null=True, help_text="Its id. Null: somebody else's, and not yours to see."
    )


class WaitingSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()
    seconds = serializers.FloatField(help_text="Then it would look again.")


class PreviewSerializer(serializers.Serializer[Any]):
    """What the copy would be if it were started now."""

    episode = serializers.IntegerField()
    media_strategy = serializers.ChoiceField(Duplication.MediaStrategy.choices)
    lanes = serializers.IntegerField()
    levels = LevelCountSerializer(many=True)
    expected = ExpectedSerializer()
    media = MediaSerializer()
    links = LinksSerializer()
    resets = ResetSerializer(many=True)
    missing_permissions = serializers.ListField(
        child=serializers.CharField(), help_text="What it could not be started without."
    )
    active = ActiveSerializer(
        allow_null=True, help_text="A copy of the same episode that is being made."
    )
    waiting = WaitingSerializer(
        allow_null=True, help_text="What would hold it up if it were started now."
    )
