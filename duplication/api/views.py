"""Duplications over HTTP: start, list, look, read the events and the id map."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from content.models import Episode
from duplication.api.filters import (
    DriftFindingFilter,
    DuplicationFilter,
    IdMapFilter,
    LinkFindingFilter,
    MediaFileFilter,
)
from duplication.api.pagination import FindingPagination, IdMapPagination
from duplication.api.previews import PreviewRequestSerializer, PreviewSerializer
from duplication.api.removing import RemovalRequestSerializer, RemovalSerializer
from duplication.api.serializers import (
    CatchUpSerializer,
    DriftFindingSerializer,
    DuplicationSerializer,
    IdMapSerializer,
    LinkFindingSerializer,
    MediaFileSerializer,
    MendSerializer,
    StartSerializer,
)
from duplication.catch_up.kind import check_may_catch_up, start_catch_up
from duplication.exceptions import CannotCatchUp, CannotMend, CannotRemove, CannotStart
from duplication.mending import mend_link
from duplication.models import DriftFinding, Duplication, IdMap, LinkFinding, MediaFile
from duplication.permissions import check_may_duplicate, check_may_remove
from duplication.preview import preview
from duplication.removal.services import start_removal
from duplication.services import start_duplication
from operations.api.starting import ANSWER_HEADERS, KEY_PARAMETER, KeyReused, idempotency_key
from operations.api.views import Conflict, OperationViewSet
from operations.exceptions import IdempotencyKeyReused, InvalidTransition


class AlreadyActive(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "already_active"
    default_detail = (
        "A copy of this episode is being made for somebody else. Wait for it, or send "
        "beside_active to make another one at the same time."
    )


class DuplicationViewSet(OperationViewSet[Duplication]):
    """Copies of episodes, in the making and made. One sees one's own, or with the model's
    view permission everybody's; others' are answered like ones that don't exist."""

    serializer_class = DuplicationSerializer
    filterset_class = DuplicationFilter
    model = Duplication
    queryset = Duplication.objects.none()

    @extend_schema(
        summary="Duplicate an episode",
        description="Answers at once; follow the copy over the websocket or at `Location`. While "
        "a copy of the same episode is being made, that one is answered (200).",
        request=StartSerializer,
        parameters=[KEY_PARAMETER, *ANSWER_HEADERS],
        responses={
            202: DuplicationSerializer,
            200: DuplicationSerializer,
            400: OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input, or no such episode."),
            403: OpenApiResponse(OpenApiTypes.OBJECT, "Not allowed; says what is missing."),
            409: OpenApiResponse(OpenApiTypes.OBJECT, "Somebody else's copy is being made."),
            422: OpenApiResponse(OpenApiTypes.OBJECT, "The key was used for another request."),
        },
    )
    def create(self, request: Request) -> Response:
        start = StartSerializer(data=request.data)
        start.is_valid(raise_exception=True)
        wanted = start.validated_data
        key = idempotency_key(request)
        episode = self._episode(wanted["episode"])
        check_may_duplicate(request.user, episode)
        try:
            duplication, created = start_duplication(
                episode_id=episode.pk,
                requested_by=request.user,
                title=wanted["title"],
                lanes=wanted["lanes"],
                idempotency_key=key,
                beside_active=wanted["beside_active"],
                media_strategy=wanted["media_strategy"],
                media_required=wanted["media_required"],
            )
        except IdempotencyKeyReused as error:
            raise KeyReused(str(error)) from error
        except CannotStart as error:
            raise ValidationError({"episode": str(error)}) from error
        if not created and not self.get_queryset().filter(pk=duplication.pk).exists():
            raise AlreadyActive
        return self.accepted(duplication, created=created, view_name="duplication-detail")

    @extend_schema(
        summary="Look at what a duplication would be",
        description="Starts nothing, and takes a bounded time: what could not be counted in it "
        "has `exact` false, and is at least what it says.",
        request=PreviewRequestSerializer,
        responses={
            200: PreviewSerializer,
            400: OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input, or no such episode."),
        },
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def preview(self, request: Request) -> Response:
        asked = PreviewRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        found = preview(
            self._episode(asked.validated_data["episode"]),
            request.user,
            media_strategy=asked.validated_data["media_strategy"],
            lanes=asked.validated_data["lanes"],
        )
        return Response(PreviewSerializer(found).data)

    def _episode(self, pk: int) -> Episode:
        episode = Episode.objects.viewable_by(self.request.user).filter(pk=pk).first()
        if episode is None:
            raise ValidationError({"episode": f"There is no episode {pk}."})
        return episode

    @extend_schema(
        summary="Which row became which",
        parameters=[
            OpenApiParameter("type", str, description="episode, part, item or block"),
            OpenApiParameter("org_id", int),
            OpenApiParameter("new_id", int),
        ],
        responses=IdMapSerializer(many=True),
        filters=False,
    )
    @action(
        detail=True,
        url_path="id-map",
        pagination_class=IdMapPagination,
        serializer_class=IdMapSerializer,
    )
    def id_map(self, request: Request, pk: Any = None) -> Response:
        rows = IdMap.objects.filter(duplication=self.get_object())
        filtered = IdMapFilter(request.query_params, rows)
        if not filtered.is_valid():
            raise ValidationError(filtered.errors)
        return self.page(filtered.qs)

    @extend_schema(
        summary="The files the copy gets its own of",
        description="Empty where the copy shares the original's files.",
        responses=MediaFileSerializer(many=True),
        filters=False,
        parameters=[OpenApiParameter("status", str, enum=MediaFile.Status.values)],
    )
    @action(
        detail=True,
        pagination_class=FindingPagination,
        serializer_class=MediaFileSerializer,
    )
    def media(self, request: Request, pk: Any = None) -> Response:
        found = MediaFileFilter(request.query_params, self.get_object().media_files.all())
        if not found.is_valid():
            raise ValidationError(found.errors)
        return self.page(found.qs)

    @extend_schema(
        summary="Links that were left as they are",
        description="Those that lead to another episode, and those that lead to nothing.",
        responses=LinkFindingSerializer(many=True),
        filters=False,
        parameters=[
            OpenApiParameter("points_to", str, enum=LinkFinding.Target.values),
            OpenApiParameter("mended", bool),
        ],
    )
    @action(
        detail=True,
        pagination_class=FindingPagination,
        serializer_class=LinkFindingSerializer,
    )
    def links(self, request: Request, pk: Any = None) -> Response:
        found = LinkFindingFilter(request.query_params, self.get_object().link_findings.all())
        if not found.is_valid():
            raise ValidationError(found.errors)
        return self.page(found.qs)

    @extend_schema(
        summary="Point a link of the list to a row that is there",
        parameters=[OpenApiParameter("link_id", int, OpenApiParameter.PATH)],
        request=MendSerializer,
        responses=LinkFindingSerializer,
        filters=False,
    )
    @action(
        detail=True,
        methods=["post"],
        url_path=r"links/(?P<link_id>[0-9]{1,18})/mend",
        serializer_class=LinkFindingSerializer,
        pagination_class=None,
    )
    def mend_link(self, request: Request, pk: Any = None, link_id: str = "") -> Response:
        mend = MendSerializer(data=request.data)
        mend.is_valid(raise_exception=True)
        try:
            finding = mend_link(
                duplication=self.get_object(),
                finding_id=int(link_id),
                target=mend.validated_data["target"],
                by=request.user,
            )
        except CannotMend as error:
            raise ValidationError({"target": str(error)}) from error
        except DjangoPermissionDenied as error:
            raise PermissionDenied(str(error)) from error
        return Response(self.get_serializer(finding).data)

    @extend_schema(
        summary="What changed in the original while it was copied",
        responses=DriftFindingSerializer(many=True),
        filters=False,
        parameters=[
            OpenApiParameter("change", str, enum=DriftFinding.Change.values),
            OpenApiParameter("state", str, enum=DriftFinding.State.values),
            OpenApiParameter("type", str, description="episode, part, item or block"),
        ],
    )
    @action(
        detail=True, pagination_class=FindingPagination, serializer_class=DriftFindingSerializer
    )
    def drift(self, request: Request, pk: Any = None) -> Response:
        found = DriftFindingFilter(request.query_params, self.get_object().drift_findings.all())
        if not found.is_valid():
            raise ValidationError(found.errors)
        return self.page(found.qs)

    @extend_schema(
        summary="Bring the open edits of the original into the copy",
        description="Answers at once; rows that were edited in the copy as well are left. One "
        "that is unfinished is answered instead of a second one (200).",
        request=None,
        responses={
            202: CatchUpSerializer,
            200: CatchUpSerializer,
            403: OpenApiResponse(OpenApiTypes.OBJECT, "The copy is somebody else's."),
            409: OpenApiResponse(OpenApiTypes.OBJECT, "Nothing to catch up, or not now."),
        },
        filters=False,
    )
    @action(
        detail=True,
        methods=["post"],
        url_path="catch-up",
        serializer_class=CatchUpSerializer,
        pagination_class=None,
    )
    def catch_up(self, request: Request, pk: Any = None) -> Response:
        duplication = self.get_object()
        try:
            check_may_catch_up(request.user, duplication)
            catch_up, created = start_catch_up(duplication=duplication, requested_by=request.user)
        except CannotCatchUp as error:
            raise Conflict(error) from error
        except DjangoPermissionDenied as error:
            raise PermissionDenied(str(error)) from error
        return self.accepted(catch_up, created=created, view_name="catch-up-detail")

    @extend_schema(
        summary="Take the copy away",
        description="Undoes a completed copy, cleans up after one that failed or was cancelled. "
        "Answers at once; follow the removal at `Location`. One that is unfinished is answered "
        "instead of a second one (200), and tried again if it had failed.",
        request=RemovalRequestSerializer,
        parameters=[KEY_PARAMETER],
        responses={
            202: RemovalSerializer,
            200: RemovalSerializer,
            403: OpenApiResponse(OpenApiTypes.OBJECT, "The copy is somebody else's."),
            409: OpenApiResponse(
                OpenApiTypes.OBJECT, "Changed or duplicated since, or in use; says the way on."
            ),
            422: OpenApiResponse(OpenApiTypes.OBJECT, "The key was used for another request."),
        },
        filters=False,
    )
    @action(
        detail=True, methods=["post"], serializer_class=RemovalSerializer, pagination_class=None
    )
    def removal(self, request: Request, pk: Any = None) -> Response:
        asked = RemovalRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        duplication = self.get_object()
        try:
            check_may_remove(request.user, duplication)
            removal, created = start_removal(
                duplication=duplication,
                requested_by=request.user,
                even_if_changed=asked.validated_data["even_if_changed"],
                idempotency_key=idempotency_key(request),
            )
        except DjangoPermissionDenied as error:
            raise PermissionDenied(str(error)) from error
        except IdempotencyKeyReused as error:
            raise KeyReused(str(error)) from error
        except (CannotRemove, InvalidTransition) as error:
            raise Conflict(error) from error
        return self.accepted(removal, created=created, view_name="removal-detail")
