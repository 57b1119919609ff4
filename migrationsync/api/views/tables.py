"""By entity, over HTTP: declarations, quarantine, mappings, reports."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from migrationsync import lookup
from migrationsync.api.access import check_has
from migrationsync.api.filters import MappingFilter, QuarantineFilter, ReportFilter
from migrationsync.api.pagination import ByIdPagination, NewestFirstPagination
from migrationsync.api.refusals import translated
from migrationsync.api.serializers.tables import (
    QuarantinedRowSerializer,
    SyncCacheSerializer,
    SyncEntitySerializer,
    SyncMappingSerializer,
    SyncReportSerializer,
    SyncRetriedSerializer,
    SyncRetrySerializer,
)
from migrationsync.entities import entities
from migrationsync.models import (
    LegacyIdMapping,
    MigrationValidationReport,
    QuarantinedRow,
    SynchronizationJob,
)
from migrationsync.services import quarantine

_FORBIDDEN = OpenApiResponse(OpenApiTypes.OBJECT, "Not allowed; says what is missing.")
_INVALID = OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input; says where.")


class EntityListView(APIView):
    @extend_schema(
        summary="The entities that are declared",
        description="In the order in which they are migrated.",
        responses={200: SyncEntitySerializer(many=True), 403: _FORBIDDEN},
    )
    def get(self, request: Request) -> Response:
        # For who makes synchronizations, and who looks at them.
        if not request.user.has_perm("migrationsync.add_synchronizationjob"):
            check_has(request.user, "view", SynchronizationJob)
        return Response(SyncEntitySerializer(entities.in_order(), many=True).data)


class QuarantineViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[QuarantinedRow]
):
    """Legacy rows that couldn't be brought over: why, and what they were."""

    serializer_class = QuarantinedRowSerializer
    filterset_class = QuarantineFilter
    pagination_class = ByIdPagination
    queryset = QuarantinedRow.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[QuarantinedRow]:
        check_has(self.request.user, "view", QuarantinedRow)
        return QuarantinedRow.objects.all()

    @extend_schema(
        summary="Try again to bring rows over",
        description="Done at once. What is refused again stays, with its reasons as they are now.",
        request=SyncRetrySerializer,
        responses={
            200: SyncRetriedSerializer,
            400: _INVALID,
            403: _FORBIDDEN,
            409: OpenApiResponse(OpenApiTypes.OBJECT, "The source isn't as it is declared."),
            503: OpenApiResponse(OpenApiTypes.OBJECT, "The legacy database doesn't answer."),
        },
        filters=False,
    )
    @action(
        detail=False,
        methods=["post"],
        pagination_class=None,
        serializer_class=SyncRetriedSerializer,
    )
    def retry(self, request: Request) -> Response:
        check_has(request.user, "change", QuarantinedRow)
        asked = SyncRetrySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = set(asked.validated_data["ids"])
        rows = QuarantinedRow.objects.filter(pk__in=wanted)
        missing = wanted - set(rows.values_list("pk", flat=True))
        if missing:
            shown = ", ".join(str(each) for each in sorted(missing)[:5])
            raise ValidationError({"ids": f"There is none of these: {shown}."})
        with translated():
            loaded = quarantine.retry(rows, by=request.user)
        return Response(SyncRetriedSerializer(loaded).data)


class MappingViewSet(viewsets.GenericViewSet[LegacyIdMapping]):
    """Which legacy row became which."""

    serializer_class = SyncMappingSerializer
    pagination_class = None
    queryset = LegacyIdMapping.objects.none()

    @extend_schema(
        summary="Look a record up",
        description="By `entity` and `legacy_id`, or by `uuid`. The mappings aren't listed: there "
        "are as many as rows.",
        parameters=[
            OpenApiParameter("entity", str),
            OpenApiParameter("legacy_id", OpenApiTypes.INT64),
            OpenApiParameter("uuid", OpenApiTypes.UUID),
        ],
        responses={200: SyncMappingSerializer(many=True), 400: _INVALID, 403: _FORBIDDEN},
        filters=False,
    )
    def list(self, request: Request) -> Response:
        check_has(request.user, "view", LegacyIdMapping)
        asked = request.query_params
        if not (asked.get("uuid") or (asked.get("entity") and asked.get("legacy_id"))):
            raise ValidationError("Name entity and legacy_id, or uuid.")
        rows = LegacyIdMapping.objects.all()
        if not asked.get("entity"):
            # The index on the UUIDs is by entity first.
            rows = rows.filter(entity_type__in=[entity.name for entity in entities])
        filtered = MappingFilter(asked, rows)
        if not filtered.is_valid():
            raise ValidationError(filtered.errors)
        return Response(self.get_serializer(filtered.qs, many=True).data)

    @extend_schema(
        summary="How well look-ups are answered from memory",
        responses={200: SyncCacheSerializer, 403: _FORBIDDEN},
        filters=False,
    )
    @action(detail=False, serializer_class=SyncCacheSerializer)
    def statistics(self, request: Request) -> Response:
        check_has(request.user, "view", LegacyIdMapping)
        return Response(SyncCacheSerializer(lookup.statistics()).data)


class ReportViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[MigrationValidationReport],
):
    """What validations found."""

    serializer_class = SyncReportSerializer
    filterset_class = ReportFilter
    pagination_class = NewestFirstPagination
    queryset = MigrationValidationReport.objects.none()

    def get_queryset(self) -> QuerySet[MigrationValidationReport]:
        return MigrationValidationReport.objects.visible_to(self.request.user).select_related("run")
