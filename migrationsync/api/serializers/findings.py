"""What comparisons found, the decisions about it, and what was changed for it."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from migrationsync.api.serializers.asked import AskedSerializer
from migrationsync.api.serializers.selection import DECISIONS
from migrationsync.api.values import as_json, explained
from migrationsync.models import AppliedChange, DataDifferential, DifferentialRecord
from migrationsync.services.decisions import Preview


class DifferentialSerializer(serializers.ModelSerializer[DataDifferential]):
    """Without its ids, which may be thousands: those are in the detail."""

    url = serializers.HyperlinkedIdentityField(view_name="sync-differential-detail")
    job = serializers.UUIDField(source="checkpoint.sync_job_id", read_only=True)
    run = serializers.UUIDField(source="checkpoint.run_id", read_only=True)

    class Meta:
        model = DataDifferential
        fields: ClassVar[list[str]] = [
            "id",
            "url",
            "job",
            "run",
            "checkpoint",
            "entity_type",
            "kind",
            "comparison_type",
            "source_table",
            "target_table",
            "record_count",
            "resolution_strategy",
            "resolved",
            "resolved_at",
            "superseded_at",
            "created_at",
            "metadata",
        ]
        read_only_fields = fields


class DifferentialDetailSerializer(DifferentialSerializer):
    class Meta(DifferentialSerializer.Meta):
        fields: ClassVar[list[str]] = [
            *DifferentialSerializer.Meta.fields,
            "comparison_criteria",
            "legacy_ids",
        ]
        read_only_fields = fields


class SyncRecordSerializer(serializers.ModelSerializer[DifferentialRecord]):
    url = serializers.HyperlinkedIdentityField(view_name="sync-record-detail")
    decided_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

    class Meta:
        model = DifferentialRecord
        fields: ClassVar[list[str]] = [
            "id",
            "url",
            "differential",
            "legacy_id",
            "uuid",
            "is_contested",
            "state",
            "strategy",
            "outcome",
            "resolving_run",
            "decided_by",
            "decided_at",
        ]
        read_only_fields = fields


class ExplanationSerializer(serializers.Serializer[Any]):
    """By the target's fields. Null: there is no such row, or nobody kept it."""

    legacy_id = serializers.IntegerField(allow_null=True)
    uuid = serializers.UUIDField(allow_null=True)
    legacy = serializers.DictField(allow_null=True, help_text="As it would be migrated.")
    last_synced = serializers.DictField(allow_null=True)
    current = serializers.DictField(allow_null=True, help_text="What the target has.")
    differing = serializers.ListField(
        child=serializers.CharField(), help_text="Where legacy and current aren't alike."
    )
    problems = serializers.ListField(
        child=serializers.CharField(),
        help_text="Why it can't be migrated. Then `legacy` is by the source's columns.",
    )


class SyncRecordDetailSerializer(SyncRecordSerializer):
    """With `explanation`, `token` and `strategies` from the context."""

    entity_type = serializers.CharField(source="differential.entity_type", read_only=True)
    kind = serializers.ChoiceField(
        DataDifferential.DifferenceKind.choices, source="differential.kind", read_only=True
    )
    explanation = serializers.SerializerMethodField()
    token = serializers.SerializerMethodField(help_text="Of this state: a decision names it.")
    strategies = serializers.SerializerMethodField(help_text="What can be decided.")

    class Meta(SyncRecordSerializer.Meta):
        fields: ClassVar[list[str]] = [
            *SyncRecordSerializer.Meta.fields,
            "entity_type",
            "kind",
            "explanation",
            "token",
            "strategies",
        ]
        read_only_fields = fields

    @extend_schema_field(ExplanationSerializer)
    def get_explanation(self, record: DifferentialRecord) -> dict[str, Any]:
        return explained(self.context["explanation"])

    def get_token(self, record: DifferentialRecord) -> str:
        return str(self.context["token"])

    def get_strategies(self, record: DifferentialRecord) -> list[str]:
        return [str(each) for each in self.context["strategies"]]


class SyncDecisionSerializer(AskedSerializer[Any]):
    strategy = serializers.ChoiceField(DECISIONS)
    token = serializers.CharField(
        max_length=255, help_text="Of the state that the decision is about."
    )


class SyncDeletesSerializer(serializers.Serializer[Any]):
    deletes = serializers.IntegerField()
    records = serializers.IntegerField(help_text="How many the entity has.")


class SyncChangeOfFieldSerializer(serializers.Serializer[Any]):
    # `from` is a word of Python's own.
    def get_fields(self) -> dict[str, Any]:
        return {name: serializers.JSONField(allow_null=True) for name in ("from", "to")}


class SyncExampleSerializer(serializers.Serializer[Any]):
    record = serializers.IntegerField()
    legacy_id = serializers.IntegerField(allow_null=True)
    uuid = serializers.UUIDField(allow_null=True)
    action = serializers.CharField()
    changes = serializers.DictField(child=SyncChangeOfFieldSerializer(), help_text="By field.")
    problems = serializers.ListField(
        child=serializers.CharField(), help_text="What stands in the way."
    )


class SyncPreviewSerializer(serializers.Serializer[Preview]):
    """What resolving would do now. Nothing was written."""

    actions = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many records, by what is done with them."
    )
    deletes = serializers.DictField(child=SyncDeletesSerializer(), help_text="By entity.")
    is_over_budget = serializers.BooleanField(
        help_text="More deletes than the job may do without asking: they have to be approved."
    )
    examples = SyncExampleSerializer(many=True, help_text="The first.")
    left_out = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many records of the `filter`, by kind, stay undecided: the strategy is no "
        "choice for them.",
    )

    def to_representation(self, instance: Preview) -> dict[str, Any]:
        return previewed(instance)


def previewed(preview: Preview) -> dict[str, Any]:
    return {
        **preview.as_json(),
        "examples": [
            {
                "record": each.record.pk,
                "legacy_id": each.record.legacy_id,
                "uuid": each.record.uuid and str(each.record.uuid),
                "action": str(each.action),
                "changes": {
                    name: {"from": as_json(before), "to": as_json(after)}
                    for name, (before, after) in each.fields.items()
                },
                "problems": list(each.problems),
            }
            for each in preview.examples
        ],
    }


class SyncChangeSerializer(serializers.ModelSerializer[AppliedChange]):
    """`before` and `after`: the side's row, by the target's fields or the source's columns."""

    url = serializers.HyperlinkedIdentityField(view_name="sync-change-detail")
    applied_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    undone_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

    class Meta:
        model = AppliedChange
        fields: ClassVar[list[str]] = [
            "id",
            "url",
            "run",
            "record",
            "entity_type",
            "legacy_id",
            "uuid",
            "action",
            "side",
            "before",
            "after",
            "applied_by",
            "applied_at",
            "undone_by",
            "undone_at",
        ]
        read_only_fields = fields
