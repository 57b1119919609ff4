"""Synchronizations over HTTP: make them, run them, steer them, see how far they are."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from migrationsync import schedules
from migrationsync.api.access import check_has, check_may_control
from migrationsync.api.filters import CheckpointFilter, JobFilter, RunFilter
from migrationsync.api.pagination import NewestFirstPagination
from migrationsync.api.refusals import translated
from migrationsync.api.serializers.jobs import (
    SyncCheckpointSerializer,
    SyncJobInputSerializer,
    SyncJobSerializer,
    SyncRunRequestSerializer,
    SyncRunSerializer,
    SyncScheduleRequestSerializer,
    SyncScheduleSerializer,
)
from migrationsync.models import MigrationCheckpoint, SynchronizationJob, SynchronizationRun
from migrationsync.querysets import own_or_all
from migrationsync.services import jobs as services
from migrationsync.services import running
from operations.api.starting import ANSWER_HEADERS, KEY_PARAMETER, accepted, idempotency_key
from operations.api.views import OperationViewSet

Purpose = SynchronizationRun.Purpose
_INVALID = OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input; says where.")
_FORBIDDEN = OpenApiResponse(OpenApiTypes.OBJECT, "Not allowed; says what is missing.")
_NOT_NOW = OpenApiResponse(OpenApiTypes.OBJECT, "Not as things are; says the way on.")
_KEY_REUSED = OpenApiResponse(OpenApiTypes.OBJECT, "The key was used for another request.")


class JobViewSet(OperationViewSet[SynchronizationJob]):
    """Synchronizations. One sees one's own, or with the model's view permission everybody's;
    others' are answered like ones that don't exist."""

    serializer_class = SyncJobSerializer
    filterset_class = JobFilter
    pagination_class = NewestFirstPagination
    model = SynchronizationJob
    queryset = SynchronizationJob.objects.none()

    def get_queryset(self) -> QuerySet[SynchronizationJob]:
        jobs = super().get_queryset()
        return jobs.select_related("requested_by", "latest_run__started_by")

    @extend_schema(
        summary="Make a synchronization",
        description="It runs when its schedule says so, or when it is asked to.",
        request=SyncJobInputSerializer,
        responses={201: SyncJobSerializer, 400: _INVALID, 403: _FORBIDDEN},
    )
    def create(self, request: Request) -> Response:
        check_has(request.user, "add", SynchronizationJob)
        asked = SyncJobInputSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        with translated():
            job = services.create_job(by=request.user, **asked.validated_data)
        data = self.get_serializer(job).data
        return Response(data, status.HTTP_201_CREATED, headers={"Location": data["url"]})

    @extend_schema(
        summary="Change a synchronization",
        description="Not while it runs.",
        request=SyncJobInputSerializer,
        responses={200: SyncJobSerializer, 400: _INVALID, 403: _FORBIDDEN, 409: _NOT_NOW},
    )
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        job = self.get_object()
        check_may_control(job, request.user)
        asked = SyncJobInputSerializer(job, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        with translated():
            job = services.change_job(job, by=request.user, **asked.validated_data)
        return Response(self.get_serializer(job).data)

    @extend_schema(
        summary="Delete a synchronization",
        description="With its runs and what they found; what they brought over stays. Not while "
        "it runs.",
        responses={204: None, 403: _FORBIDDEN, 409: _NOT_NOW},
    )
    def destroy(self, request: Request, pk: Any = None) -> Response:
        job = self.get_object()
        if job.requested_by_id != request.user.pk:
            check_has(request.user, "delete", SynchronizationJob)
        with translated():
            services.delete_job(job, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Run it now",
        description="Answers at once; `Location` is the run. One for the same purpose that is "
        "open is answered instead of a second one (200).",
        request=SyncRunRequestSerializer,
        parameters=[KEY_PARAMETER, *ANSWER_HEADERS],
        responses={
            202: SyncRunSerializer,
            200: SyncRunSerializer,
            400: _INVALID,
            403: _FORBIDDEN,
            409: _NOT_NOW,
            422: _KEY_REUSED,
        },
        filters=False,
    )
    @action(
        detail=True, methods=["post"], pagination_class=None, serializer_class=SyncRunSerializer
    )
    def run(self, request: Request, pk: Any = None) -> Response:
        job = self.get_object()
        check_may_control(job, request.user)
        asked = SyncRunRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        options = dict(asked.validated_data)
        purpose, entities = options.pop("purpose", None), options.pop("entities", None)
        if purpose == Purpose.RESOLVE:
            raise ValidationError(
                {"purpose": "A run to resolve is started by POST differentials/resolve."}
            )
        with translated():
            run, created = running.start_run(
                job,
                by=request.user,
                purpose=purpose,
                entities=entities,
                options=options,
                idempotency_key=idempotency_key(request) or "",
            )
        return accepted_run(run, created=created, request=request)

    @extend_schema(
        summary="Let it delete what it asked about",
        description="A run that would delete more than it may stops and asks, see the "
        "`question` of `latest_run`. Then it goes on.",
        request=None,
        responses={200: SyncJobSerializer, 403: _FORBIDDEN, 409: _NOT_NOW},
        filters=False,
    )
    @action(detail=True, methods=["post"], url_path="approve-deletes", pagination_class=None)
    def approve_deletes(self, request: Request, pk: Any = None) -> Response:
        job = self.get_object()
        check_may_control(job, request.user)
        with translated():
            job = running.approve_deletes(job, by=request.user)
        return Response(self.get_serializer(job).data)

    @extend_schema(
        summary="When it will run",
        responses=SyncScheduleSerializer,
        filters=False,
    )
    @action(detail=True, pagination_class=None, serializer_class=SyncScheduleSerializer)
    def schedule(self, request: Request, pk: Any = None) -> Response:
        job = self.get_object()
        # One that was cancelled lost its schedule until it is run again.
        coming = [] if job.next_run_at is None else schedules.next_runs(job)
        return Response(_schedule(job.schedule_config, coming))

    @extend_schema(
        summary="Its runs, the newest first",
        parameters=[
            OpenApiParameter("purpose", str, enum=Purpose.values),
            OpenApiParameter("outcome", str, enum=SynchronizationRun.Outcome.values),
            OpenApiParameter("is_open", bool),
            OpenApiParameter("created_after", OpenApiTypes.DATETIME),
            OpenApiParameter("created_before", OpenApiTypes.DATETIME),
        ],
        responses=SyncRunSerializer(many=True),
        filters=False,
    )
    @action(detail=True, serializer_class=SyncRunSerializer)
    def runs(self, request: Request, pk: Any = None) -> Response:
        rows = self.get_object().runs.select_related("started_by")
        filtered = RunFilter(request.query_params, rows)
        if not filtered.is_valid():
            raise ValidationError(filtered.errors)
        return self.page(filtered.qs)


class RunViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet[SynchronizationRun]):
    """One time that a synchronization ran, or runs."""

    serializer_class = SyncRunSerializer
    queryset = SynchronizationRun.objects.none()

    def get_queryset(self) -> QuerySet[SynchronizationRun]:
        jobs = SynchronizationJob.viewable_by(self.request.user)
        return SynchronizationRun.objects.filter(job__in=jobs).select_related("started_by")


class CheckpointViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[MigrationCheckpoint]
):
    """How far runs have come with each entity."""

    serializer_class = SyncCheckpointSerializer
    filterset_class = CheckpointFilter
    pagination_class = NewestFirstPagination
    queryset = MigrationCheckpoint.objects.none()

    def get_queryset(self) -> QuerySet[MigrationCheckpoint]:
        return own_or_all(
            MigrationCheckpoint.objects.all(),
            self.request.user,
            model_name="migrationcheckpoint",
            owners=["sync_job__requested_by"],
        )


class SchedulePreviewView(APIView):
    @extend_schema(
        summary="What a schedule would mean",
        request=SyncScheduleRequestSerializer,
        responses={200: SyncScheduleSerializer, 400: _INVALID},
    )
    def post(self, request: Request) -> Response:
        asked = SyncScheduleRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        config = asked.validated_data["schedule_config"]
        with translated():
            schedules.check(config)
        return Response(_schedule(config, schedules.next_runs(config)))


def accepted_run(run: SynchronizationRun, *, created: bool, request: Request) -> Response:
    return accepted(
        SyncRunSerializer(run, context={"request": request}).data,
        created=created,
        location=reverse("sync-run-detail", args=[run.pk], request=request),
    )


def _schedule(config: dict[str, Any], next_runs: list[dt.datetime]) -> dict[str, Any]:
    told = {
        "in_words": schedules.in_words(config),
        "time_zone": settings.TIME_ZONE,
        "next_runs": next_runs,
    }
    return dict(SyncScheduleSerializer(told).data)
