"""What comparisons found, over HTTP: look, preview, decide, undo."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from migrationsync.api.access import check_has, check_may_control
from migrationsync.api.filters import ChangeFilter, DifferentialFilter, RecordFilter
from migrationsync.api.pagination import ByIdPagination, NewestFirstPagination
from migrationsync.api.refusals import translated
from migrationsync.api.serializers.findings import (
    DifferentialDetailSerializer,
    DifferentialSerializer,
    SyncChangeSerializer,
    SyncDecisionSerializer,
    SyncPreviewSerializer,
    SyncRecordDetailSerializer,
    SyncRecordSerializer,
)
from migrationsync.api.serializers.jobs import SyncRunSerializer
from migrationsync.api.serializers.selection import SyncResolveSerializer, SyncSelectionSerializer
from migrationsync.api.views.jobs import accepted_run
from migrationsync.differences import Kind
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    SynchronizationJob,
)
from migrationsync.models.differentials import Strategy
from migrationsync.resolving.rules import allowed
from migrationsync.services import decisions
from operations.api.starting import ANSWER_HEADERS

_INVALID = OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input, or no such records; says which.")
_FORBIDDEN = OpenApiResponse(OpenApiTypes.OBJECT, "Somebody else's.")
_REFUSED = OpenApiResponse(OpenApiTypes.OBJECT, "Not as things are; says why and the way on.")
_AWAY = OpenApiResponse(OpenApiTypes.OBJECT, "The legacy database doesn't answer; try again.")


class DifferentialViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[DataDifferential]
):
    """Records of an entity that differ in the same way."""

    serializer_class = DifferentialSerializer
    filterset_class = DifferentialFilter
    pagination_class = NewestFirstPagination
    queryset = DataDifferential.objects.none()

    def get_queryset(self) -> QuerySet[DataDifferential]:
        rows = DataDifferential.objects.visible_to(self.request.user).select_related("checkpoint")
        # Thousands of ids in each.
        return rows if self.detail else rows.defer("legacy_ids", "comparison_criteria")

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        if self.action == "retrieve":
            return DifferentialDetailSerializer
        return super().get_serializer_class()

    @extend_schema(
        summary="Its records",
        parameters=[
            OpenApiParameter("state", str, enum=DifferentialRecord.State.values),
            OpenApiParameter("strategy", str, enum=Strategy.values),
            OpenApiParameter("is_contested", bool),
            OpenApiParameter("legacy_id", int),
            OpenApiParameter("uuid", OpenApiTypes.UUID),
        ],
        responses=SyncRecordSerializer(many=True),
        filters=False,
    )
    @action(detail=True, pagination_class=ByIdPagination, serializer_class=SyncRecordSerializer)
    def records(self, request: Request, pk: Any = None) -> Response:
        rows = self.get_object().records.select_related("decided_by")
        filtered = RecordFilter(request.query_params, rows)
        if not filtered.is_valid():
            raise ValidationError(filtered.errors)
        page = self.paginate_queryset(filtered.qs)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Look at what resolving would do",
        description="A dry run: writes nothing.",
        request=SyncSelectionSerializer,
        responses={200: SyncPreviewSerializer, 400: _INVALID, 409: _REFUSED, 503: _AWAY},
        filters=False,
    )
    @action(
        detail=False,
        methods=["post"],
        pagination_class=None,
        serializer_class=SyncPreviewSerializer,
    )
    def preview(self, request: Request) -> Response:
        asked = SyncSelectionSerializer(data=request.data, context={"request": request})
        asked.is_valid(raise_exception=True)
        with translated():
            found = decisions.preview(
                asked.validated_data["chosen"],
                Strategy(asked.validated_data["strategy"]),
                leaves_out=asked.validated_data["leaves_out"],
            )
            return Response(SyncPreviewSerializer(found).data)

    @extend_schema(
        summary="Resolve",
        description="Answers at once; `Location` is the run that does it. Where more would be "
        "deleted than the job may without asking, it is refused (409) with the `question`: send "
        "`approved_deletes` with that number.",
        request=SyncResolveSerializer,
        parameters=[*ANSWER_HEADERS],
        responses={
            202: SyncRunSerializer,
            200: SyncRunSerializer,
            400: _INVALID,
            403: _FORBIDDEN,
            409: _REFUSED,
            503: _AWAY,
        },
        filters=False,
    )
    @action(
        detail=False, methods=["post"], pagination_class=None, serializer_class=SyncRunSerializer
    )
    def resolve(self, request: Request) -> Response:
        asked = SyncResolveSerializer(data=request.data, context={"request": request})
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        check_may_control(wanted["job"], request.user)
        with translated():
            run, created = decisions.resolve(
                wanted["chosen"],
                Strategy(wanted["strategy"]),
                by=request.user,
                approved_deletes=wanted["approved_deletes"],
                leaves_out=wanted["leaves_out"],
            )
        return accepted_run(run, created=created, request=request)


class RecordViewSet(viewsets.GenericViewSet[DifferentialRecord]):
    """One record that differs."""

    serializer_class = SyncRecordDetailSerializer
    queryset = DifferentialRecord.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[DifferentialRecord]:
        rows = DifferentialRecord.objects.visible_to(self.request.user)
        return rows.select_related(
            "decided_by", "differential__checkpoint__sync_job__requested_by"
        ).defer("differential__legacy_ids", "differential__comparison_criteria")

    @extend_schema(
        summary="The record as it is now",
        description="What the legacy database has, what was last synced, and what the target has.",
        responses={200: SyncRecordDetailSerializer, 409: _REFUSED, 503: _AWAY},
    )
    def retrieve(self, request: Request, pk: str = "") -> Response:
        record = self.get_object()
        with translated():
            return Response(self._detail(record))

    @extend_schema(
        summary="Decide about the record",
        description="Done at once. `token` says which state the decision is about: where the "
        "record has changed since, it is refused (409) with `explanation` and `token` as they are "
        "now.",
        request=SyncDecisionSerializer,
        responses={
            200: SyncRecordSerializer,
            400: _INVALID,
            403: _FORBIDDEN,
            409: _REFUSED,
            503: _AWAY,
        },
    )
    @action(detail=True, methods=["post"], serializer_class=SyncRecordSerializer)
    def decide(self, request: Request, pk: str = "") -> Response:
        record = self.get_object()
        check_may_control(record.differential.checkpoint.sync_job, request.user)
        asked = SyncDecisionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        with translated():
            record = decisions.decide(
                record,
                Strategy(asked.validated_data["strategy"]),
                token=asked.validated_data["token"],
                by=request.user,
            )
        return Response(self.get_serializer(record).data)

    def _detail(self, record: DifferentialRecord) -> dict[str, Any]:
        explanation, token = decisions.explanation(record)
        context = {
            **self.get_serializer_context(),
            "explanation": explanation,
            "token": token,
            "strategies": allowed(Kind(record.differential.kind)),
        }
        return dict(SyncRecordDetailSerializer(record, context=context).data)


class ChangeViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AppliedChange]
):
    """What was changed to make the two sides alike."""

    serializer_class = SyncChangeSerializer
    filterset_class = ChangeFilter
    pagination_class = NewestFirstPagination
    queryset = AppliedChange.objects.none()

    def get_queryset(self) -> QuerySet[AppliedChange]:
        rows = AppliedChange.objects.visible_to(self.request.user)
        return rows.select_related("applied_by", "undone_by")

    @extend_schema(
        summary="Undo the change",
        description="Refused (409) where the record was changed since.",
        request=None,
        responses={200: SyncChangeSerializer, 403: _FORBIDDEN, 409: _REFUSED, 503: _AWAY},
        filters=False,
    )
    @action(detail=True, methods=["post"], pagination_class=None)
    def undo(self, request: Request, pk: Any = None) -> Response:
        change = self.get_object()
        job = change.job
        if job is None:
            check_has(request.user, "change", SynchronizationJob)
        else:
            check_may_control(job, request.user)
        with translated():
            change = decisions.undo(change, by=request.user)
        return Response(self.get_serializer(change).data)
