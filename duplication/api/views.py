"""Duplications over HTTP: start, list, look, read the events and the id map."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from content.models import Episode
from duplication.api.filters import DuplicationFilter, IdMapFilter
from duplication.api.pagination import EventPagination, IdMapPagination
from duplication.api.serializers import (
    AfterSerializer,
    DuplicationSerializer,
    EventSerializer,
    IdMapSerializer,
    StartSerializer,
)
from duplication.exceptions import CannotStart
from duplication.models import Duplication, IdMap
from duplication.permissions import check_may_duplicate
from duplication.services import start_duplication
from operations import events
from operations.exceptions import IdempotencyKeyReused

POLL_AFTER_SECONDS = 2
MAX_KEY_LENGTH = 255


class KeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = IdempotencyKeyReused.code


class AlreadyActive(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "already_active"
    default_detail = (
        "A copy of this episode is being made for somebody else. Wait for it, or send "
        "beside_active to make another one at the same time."
    )


class DuplicationViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Duplication]
):
    """Copies of episodes, in the making and made. One sees one's own, or with the model's
    view permission everybody's; others' are answered like ones that don't exist."""

    serializer_class = DuplicationSerializer
    filterset_class = DuplicationFilter
    queryset = Duplication.objects.none()

    def get_queryset(self) -> QuerySet[Duplication]:
        return Duplication.viewable_by(self.request.user)

    @extend_schema(
        summary="Duplicate an episode",
        description="Answers at once; follow the copy over the websocket or at `Location`. While "
        "a copy of the same episode is being made, that one is answered (200).",
        request=StartSerializer,
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="The same key again answers the first request's duplication.",
            ),
            OpenApiParameter(
                "Location",
                OpenApiTypes.URI,
                OpenApiParameter.HEADER,
                description="Where the duplication is.",
                response=[200, 202],
            ),
            OpenApiParameter(
                "Retry-After",
                int,
                OpenApiParameter.HEADER,
                description="Look again after so many seconds.",
                response=[200, 202],
            ),
        ],
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
        key = request.headers.get("Idempotency-Key")
        if key and len(key) > MAX_KEY_LENGTH:
            raise ValidationError({"Idempotency-Key": f"At most {MAX_KEY_LENGTH} characters."})
        episode = Episode.objects.viewable_by(request.user).filter(pk=wanted["episode"]).first()
        if episode is None:
            raise ValidationError({"episode": f"There is no episode {wanted['episode']}."})
        check_may_duplicate(request.user, episode)
        try:
            duplication, created = start_duplication(
                episode_id=episode.pk,
                requested_by=request.user,
                title=wanted["title"],
                lanes=wanted["lanes"],
                idempotency_key=key,
                beside_active=wanted["beside_active"],
            )
        except IdempotencyKeyReused as error:
            raise KeyReused(str(error)) from error
        except CannotStart as error:
            raise ValidationError({"episode": str(error)}) from error
        if not created and not self.get_queryset().filter(pk=duplication.pk).exists():
            raise AlreadyActive
        location = reverse("duplication-detail", args=[duplication.pk], request=request)
        return Response(
            self.get_serializer(duplication).data,
            status=status.HTTP_202_ACCEPTED if created else status.HTTP_200_OK,
            headers={"Location": location, "Retry-After": str(POLL_AFTER_SECONDS)},
        )

    @extend_schema(
        summary="What happened, in order",
        parameters=[
            OpenApiParameter("after", int, description="Only events with a larger sequence.")
        ],
        responses=EventSerializer(many=True),
        filters=False,
    )
    @action(detail=True, pagination_class=EventPagination, serializer_class=EventSerializer)
    def events(self, request: Request, pk: Any = None) -> Response:
        duplication = self.get_object()
        after = AfterSerializer(data=request.query_params)
        after.is_valid(raise_exception=True)
        sequence = after.validated_data["after"]
        return self._page(events.after(duplication.kind, duplication.pk, sequence))

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
        return self._page(filtered.qs)

    def _page(self, rows: QuerySet[Any]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def get_object(self) -> Duplication:
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])
