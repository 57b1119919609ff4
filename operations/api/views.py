"""Looking at operations over HTTP and steering them: what is the same for every kind."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, cast

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from operations import events, verbs
from operations.api.pagination import EventPagination
from operations.api.serializers import (
    AfterSerializer,
    ControlSerializer,
    EventSerializer,
    OutcomeSerializer,
)
from operations.api.starting import POLL_AFTER_SECONDS, accepted
from operations.exceptions import InvalidTransition, OperationError, Refused
from operations.models import Operation

OperationT = TypeVar("OperationT", bound=Operation)


class Conflict(APIException):
    """The operation isn't in a state in which this can be done."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self, error: OperationError) -> None:
        super().__init__(str(error), code=error.code)


_REFUSALS: dict[int, Any] = {
    403: OpenApiResponse(OpenApiTypes.OBJECT, "Somebody else's."),
    409: OpenApiResponse(OpenApiTypes.OBJECT, "Not in the state it is in; says why."),
}


class OperationViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[OperationT],
):
    """Base: a kind's view set names `model`, `serializer_class` and `filterset_class`. One
    sees one's own, or with the model's view permission everybody's; others' are answered
    like ones that don't exist."""

    model: ClassVar[type[Operation]]

    def get_queryset(self) -> QuerySet[OperationT]:
        return cast("QuerySet[OperationT]", self.model.viewable_by(self.request.user))

    def get_object(self) -> OperationT:
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])

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
        operation = self.get_object()
        after = AfterSerializer(data=request.query_params)
        after.is_valid(raise_exception=True)
        sequence = after.validated_data["after"]
        return self.page(events.after(operation.kind, operation.pk, sequence))

    @extend_schema(
        summary="Pause",
        description="Asked for at once; reached when the running steps have ended.",
        request=None,
        responses=_REFUSALS,
    )
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: Any = None) -> Response:
        return self._do("pause")

    @extend_schema(summary="Resume", request=None, responses=_REFUSALS)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: Any = None) -> Response:
        return self._do("resume")

    @extend_schema(summary="Retry from the failed point", request=None, responses=_REFUSALS)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: Any = None) -> Response:
        return self._do("retry")

    @extend_schema(
        summary="Cancel",
        description="Asked for at once; reached when the running steps have ended.",
        request=None,
        responses=_REFUSALS,
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any = None) -> Response:
        return self._do("cancel")

    @extend_schema(
        summary="Pause, resume, retry or cancel many",
        description="Each by itself: one that is refused doesn't keep the others.",
        request=ControlSerializer,
        responses=OutcomeSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def control(self, request: Request) -> Response:
        control = ControlSerializer(data=request.data)
        control.is_valid(raise_exception=True)
        outcomes = verbs.apply_to_many(
            control.validated_data["verb"],
            self.model,
            control.validated_data["ids"],
            by=request.user,
        )
        return Response(OutcomeSerializer(outcomes, many=True).data)

    def _do(self, verb: str) -> Response:
        try:
            operation = verbs.apply(verb, self.get_object(), by=self.request.user)
        except (InvalidTransition, Refused) as error:
            raise Conflict(error) from error
        except DjangoPermissionDenied as error:
            raise PermissionDenied(str(error)) from error
        return Response(
            self.get_serializer(operation).data,
            headers={"Retry-After": str(POLL_AFTER_SECONDS)},
        )

    def page(self, rows: QuerySet[Any]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def accepted(self, operation: Operation, *, created: bool, view_name: str) -> Response:
        """The answer to a start: where the operation is, made by this request or before."""
        return accepted(
            self.get_serializer(operation).data,
            created=created,
            location=reverse(view_name, args=[operation.pk], request=self.request),
        )
