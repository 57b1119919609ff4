"""Which records are meant: by differential, by record, or all of a kind."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from migrationsync.api.serializers.asked import AskedSerializer
from migrationsync.differences import Kind
from migrationsync.models import DataDifferential, DifferentialRecord, SynchronizationJob
from migrationsync.models.differentials import Strategy

MAX_DIFFERENTIALS = 100
MAX_RECORDS = 1_000
# To leave it for later is no decision.
DECISIONS = [each for each in Strategy.choices if each[0] != Strategy.MANUAL_REVIEW]
_WAYS = ("differentials", "records", "filter")


class SyncKindFilterSerializer(AskedSerializer[Any]):
    """What is undecided of a job's, from its last comparisons. Records for which the strategy is no
    choice are left out."""

    job = serializers.UUIDField()
    entity = serializers.CharField(required=False)
    kind = serializers.ChoiceField(DataDifferential.DifferenceKind.choices, required=False)


class SyncSelectionSerializer(AskedSerializer[Any]):
    """One of `differentials`, `records` and `filter`; all of them one job's.

    `validated_data` has `job`, `chosen` (the records) and `leaves_out` (whether those that the
    strategy doesn't fit) then. Those of others are answered like ones that don't exist.
    """

    differentials = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        min_length=1,
        max_length=MAX_DIFFERENTIALS,
        help_text="What is undecided of these.",
    )
    records = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        min_length=1,
        max_length=MAX_RECORDS,
    )
    filter = SyncKindFilterSerializer(required=False)
    strategy = serializers.ChoiceField(DECISIONS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ways = [name for name in _WAYS if name in attrs]
        if len(ways) != 1:
            raise serializers.ValidationError(f"Name one of {', '.join(_WAYS)}.")
        [way] = ways
        job, chosen = getattr(self, f"_of_{way}")(attrs[way])
        return {**attrs, "job": job, "chosen": chosen, "leaves_out": way == "filter"}

    def _of_differentials(self, ids: list[Any]) -> tuple[Any, QuerySet[DifferentialRecord]]:
        wanted = set(ids)
        found = DataDifferential.objects.visible_to(self._user).filter(pk__in=wanted)
        there = dict(found.values_list("pk", "checkpoint__sync_job_id"))
        job = self._job("differentials", wanted - there.keys(), set(there.values()))
        # Of superseded ones too: those are refused with the reason.
        return job, DifferentialRecord.objects.undecided().filter(differential__in=wanted)

    def _of_records(self, ids: list[int]) -> tuple[Any, QuerySet[DifferentialRecord]]:
        wanted = set(ids)
        records = DifferentialRecord.objects.filter(pk__in=wanted)
        found = records.visible_to(self._user)
        there = dict(found.values_list("pk", "differential__checkpoint__sync_job_id"))
        job = self._job("records", wanted - there.keys(), set(there.values()))
        return job, records

    def _of_filter(self, wanted: dict[str, Any]) -> tuple[Any, QuerySet[DifferentialRecord]]:
        jobs = SynchronizationJob.viewable_by(self._user)
        job = jobs.filter(pk=wanted["job"]).first()
        if job is None:
            raise serializers.ValidationError(
                {"filter": {"job": f"There is no synchronization {wanted['job']}."}}
            )
        kind = Kind(wanted["kind"]) if "kind" in wanted else None
        records = DifferentialRecord.objects.visible_to(self._user).to_decide()
        return job, records.of_job(job, entity=wanted.get("entity"), kind=kind)

    @property
    def _user(self) -> Any:
        return self.context["request"].user

    def _job(self, way: str, missing: set[Any], jobs: set[Any]) -> SynchronizationJob:
        if missing:
            shown = ", ".join(str(each) for each in sorted(missing)[:5])
            raise serializers.ValidationError({way: f"There is none of these: {shown}."})
        if len(jobs) > 1:
            raise serializers.ValidationError(
                {way: f"They are of {len(jobs)} synchronizations: name those of one at a time."}
            )
        return SynchronizationJob.objects.get(pk=jobs.pop())


class SyncResolveSerializer(SyncSelectionSerializer):
    approved_deletes = serializers.IntegerField(
        min_value=0,
        default=0,
        help_text="Where more are to be deleted than the job may without asking: that number, as "
        "the preview tells it.",
    )
