"""How generations, their parts and what they cost look over the API.

Money is in US dollars, as a string with its decimals. Durations have their unit in the name.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from content.models import Episode
from generation.models import (
    GenerationJob,
    GenerationMetrics,
    GenerationSegment,
    StageName,
)
from generation.options import FASTEST, MAX_VOICE_CHARS, SLOWEST
from generation.script.script import SPEAKERS
from generation.services import MAX_AT_ONCE
from operations.api.serializers import OperationSerializer

# --- what is asked for --------------------------------------------------------------


class OptionsSerializer(serializers.Serializer[Any]):
    """How it is to be made. What is left out is as it was last for this episode."""

    from_stage = serializers.ChoiceField(
        choices=StageName.choices,
        allow_blank=True,
        default="",
        help_text="Make this stage and those behind it anew. Empty: what fits the content as it is "
        "now is used again.",
    )
    voices = serializers.DictField(
        child=serializers.CharField(max_length=MAX_VOICE_CHARS),
        default=dict,
        help_text='Who speaks with which voice of the provider: {"host": "en-us"}. Speakers: '
        f"{', '.join(SPEAKERS)}.",
    )
    speed = serializers.FloatField(
        min_value=SLOWEST,
        max_value=FASTEST,
        allow_null=True,
        default=None,
        help_text="1 is the voice's own.",
    )


class GenerateSerializer(OptionsSerializer):
    """What a generation is started with; everything may be left out."""

    stop_before_audio = serializers.BooleanField(
        default=False, help_text="Pause once the script is there, so that it can be edited."
    )


class GenerateManySerializer(GenerateSerializer):
    """The same for many episodes."""

    episodes = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        min_length=1,
        max_length=MAX_AT_ONCE,
        help_text="The episodes' ids.",
    )


# --- generations --------------------------------------------------------------------


class GenerationSerializer(OperationSerializer):
    url = serializers.HyperlinkedIdentityField(view_name="generation-detail")
    cached_share = serializers.SerializerMethodField(
        help_text="How much of what was said so far came from the cache, 0 to 1."
    )

    class Meta:
        model = GenerationJob
        fields = [
            *OperationSerializer.Meta.fields,
            "episode",
            "base",
            "from_stage",
            "stop_before_audio",
            "voices",
            "speed",
            "text_provider",
            "text_model",
            "speech_provider",
            "speech_model",
            "script_version",
            "script_edited_at",
            "estimate",
            "estimated_cost",
            "usage",
            "cost",
            "chars_paid",
            "chars_cached",
            "cached_share",
            "audio_bytes",
            "audio_checksum",
            "audio_duration_ms",
        ]
        read_only_fields = fields

    def get_cached_share(self, generation: GenerationJob) -> float:
        said = generation.chars_paid + generation.chars_cached
        return generation.chars_cached / said if said else 0.0


class GenerateOutcomeSerializer(serializers.Serializer[Any]):
    """What became of one episode of many."""

    episode = serializers.IntegerField()
    outcome = serializers.ChoiceField(
        choices=[
            ("started", "A generation was started."),
            ("active", "The answered one was asked for before."),
            ("refused", "Nothing was started; `refusal` says why."),
        ]
    )
    generation = serializers.IntegerField(allow_null=True)
    refusal = serializers.CharField(allow_blank=True)


# --- an episode's generation --------------------------------------------------------


class EpisodeGenerationSerializer(serializers.ModelSerializer[Episode]):
    """What the episode itself tells of its audio."""

    episode = serializers.IntegerField(source="pk", read_only=True)
    audio_url = serializers.SerializerMethodField(
        help_text="Where it is heard now: the last that was completed. Empty: no audio yet."
    )
    audio_duration_ms = serializers.SerializerMethodField(
        help_text="Null where it isn't known: no audio, or none that was generated."
    )
    generation = serializers.SerializerMethodField(
        help_text="The generation that the fields tell of. Null: none, or not yours to see."
    )

    class Meta:
        model = Episode
        fields = [
            "episode",
            "generation_status",
            "generation_progress",
            "generation_error",
            "generation_started_at",
            "generation_completed_at",
            "audio_url",
            "audio_duration_ms",
            "generation",
        ]
        read_only_fields = fields

    def get_audio_url(self, episode: Episode) -> str:
        request: Request = self.context["request"]
        return request.build_absolute_uri(episode.audio_url) if episode.audio_url else ""

    def get_audio_duration_ms(self, episode: Episode) -> int | None:
        if not episode.audio_url:
            return None
        made = GenerationJob.objects.filter(episode=episode, status="completed").order_by("-pk")
        return made.values_list("audio_duration_ms", flat=True).first()

    @extend_schema_field(GenerationSerializer(allow_null=True))
    def get_generation(self, episode: Episode) -> dict[str, Any] | None:
        generation = self.context["generation"]
        if generation is None:
            return None
        return dict(GenerationSerializer(generation, context=self.context).data)


class LeftOutSerializer(serializers.Serializer[Any]):
    block_id = serializers.IntegerField()
    reason = serializers.CharField()


class LimitSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class EstimateSerializer(serializers.Serializer[Any]):
    """What a generation would be if it were started now."""

    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    chars = serializers.IntegerField(help_text="All that would be said.")
    cached_chars = serializers.IntegerField(help_text="Of it what is in the cache already.")
    cached_share = serializers.FloatField(help_text="0 to 1.")
    cost = serializers.DecimalField(max_digits=12, decimal_places=6)
    seconds = serializers.FloatField(
        allow_null=True, help_text="Without waiting. Null: nothing comparable was generated yet."
    )
    left_out_blocks = serializers.IntegerField(help_text="Blocks that carry no speech.")
    left_out = LeftOutSerializer(many=True, help_text="The first of them.")
    limit = LimitSerializer(
        allow_null=True, help_text="The limit that would refuse it. Null: it could be started."
    )


class ChapterSerializer(serializers.Serializer[Any]):
    part_id = serializers.IntegerField()
    title = serializers.CharField()
    topics = serializers.ListField(child=serializers.CharField())


class OutlineSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    chapters = ChapterSerializer(many=True)


class TurnSerializer(serializers.Serializer[Any]):
    speaker = serializers.ChoiceField(choices=SPEAKERS)
    chapter = serializers.IntegerField(help_text="An index into the outline's chapters, from 0.")
    text = serializers.CharField()


class ScriptSerializer(serializers.Serializer[Any]):
    generation = serializers.IntegerField()
    version = serializers.IntegerField(help_text="How often it was edited.")
    edited_at = serializers.DateTimeField(allow_null=True)
    turns = TurnSerializer(many=True)
    left_out = LeftOutSerializer(many=True, help_text="Blocks that carry no speech.")


@extend_schema_field(TurnSerializer(many=True))
class TurnsField(serializers.JSONField):
    """As they were sent: what makes a script valid is said by `generation.script`."""


class ScriptEditSerializer(serializers.Serializer[Any]):
    """The whole script, in the place of the version that was read."""

    turns = TurnsField()
    version = serializers.IntegerField(min_value=0)


class SegmentSerializer(serializers.ModelSerializer[GenerationSegment]):
    cached = serializers.SerializerMethodField(help_text="Whether its sound was in the cache.")

    class Meta:
        model = GenerationSegment
        fields = [
            "number",
            "chapter",
            "speaker",
            "voice",
            "text",
            "state",
            "cached",
            "duration_ms",
            "start_ms",
            "cost",
        ]
        read_only_fields = fields

    def get_cached(self, segment: GenerationSegment) -> bool:
        return segment.state == GenerationSegment.State.CACHED


# --- what it cost -------------------------------------------------------------------


class MetricsSerializer(serializers.ModelSerializer[GenerationMetrics]):
    cached_share = serializers.FloatField(read_only=True, help_text="0 to 1.")
    tokens_used = serializers.IntegerField(read_only=True, help_text="In and out together.")

    class Meta:
        model = GenerationMetrics
        fields = [
            "id",
            "episode",
            "generation",
            "type",
            "outcome",
            "text_provider",
            "speech_provider",
            "tokens_in",
            "tokens_out",
            "tokens_used",
            "tts_chars_used",
            "chars_cached",
            "cached_share",
            "estimated_cost",
            "actual_duration",
            "audio_seconds",
            "stages",
            "created_at",
        ]
        read_only_fields = fields


class TotalSerializer(serializers.Serializer[Any]):
    key = serializers.CharField(help_text="The day, the type, or who wrote and who spoke.")
    generations = serializers.IntegerField()
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    tts_chars_used = serializers.IntegerField(help_text="Characters that were paid for.")
    chars_cached = serializers.IntegerField()
    cached_share = serializers.FloatField(help_text="0 to 1.")
    cost = serializers.DecimalField(max_digits=18, decimal_places=6)
    seconds = serializers.FloatField(help_text="How long the generations worked.")
    audio_seconds = serializers.FloatField(help_text="How long what they made plays.")
