"""Episodes, their documents and their nodes over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from content.api.documents import (
    DOCUMENT_SCHEMA,
    DocumentParser,
    DocumentResponse,
    InvalidDocumentInput,
)
from content.api.filters import EpisodeFilterSet
from content.api.pagination import ByIdPagination
from content.api.serializers import (
    BlockSerializer,
    EpisodeSerializer,
    ItemSerializer,
    PartSerializer,
)
from content.exceptions import EpisodeClosed, InvalidDocument
from content.links import as_id
from content.models import Block, Episode, Item, Node, Part
from content.permissions import (
    can_add_episode,
    can_change_episode,
    can_delete_episode,
    can_view_episode,
)
from content.services import delete_episode, import_episode
from content.tree import PARENT_FIELDS, below, episode_of, path_to, tree_order

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class EpisodePermission(BasePermission):
    """content.permissions, asked by method. What may not be viewed was not found before."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.method != "POST" or can_add_episode(request.user)

    def has_object_permission(self, request: Request, view: Any, obj: Episode) -> bool:
        if request.method == "PATCH":
            return can_change_episode(request.user, obj)
        if request.method == "DELETE":
            return can_delete_episode(request.user, obj)
        return can_view_episode(request.user, obj)


class EpisodeViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet[Episode],
):
    """Episodes that you own or may view."""

    queryset = Episode.objects.none()
    serializer_class = EpisodeSerializer
    filterset_class = EpisodeFilterSet
    permission_classes = [IsAuthenticated, EpisodePermission]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self) -> QuerySet[Episode]:
        return Episode.objects.viewable_by(self.request.user).select_related("owner")

    def get_parsers(self) -> list[Any]:
        # `action` is not known yet when the request is being set up.
        if self.request is not None and self.request.method == "POST":
            return [DocumentParser()]
        return super().get_parsers()

    def perform_update(self, serializer: BaseSerializer[Episode]) -> None:
        try:
            super().perform_update(serializer)
        except EpisodeClosed as error:
            # Hidden since it was found: from now on it isn't.
            raise NotFound from error

    def perform_destroy(self, instance: Episode) -> None:
        delete_episode(episode=instance)

    @extend_schema(
        summary="Import a document",
        request={"application/json": DOCUMENT_SCHEMA},
        responses={
            201: EpisodeSerializer,
            400: OpenApiResponse(OpenApiTypes.OBJECT, "Every mistake, with a pointer to it."),
            413: OpenApiResponse(OpenApiTypes.OBJECT, "The document is too large."),
        },
    )
    def create(self, request: Request) -> Response:
        try:
            episode = import_episode(document=request.data, owner=cast("User", request.user))
        except InvalidDocument as error:
            raise InvalidDocumentInput(error) from error
        location = reverse("episode-detail", args=[episode.pk], request=request)
        return Response(
            self.get_serializer(episode).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": location},
        )

    @extend_schema(
        summary="Export the document",
        responses={(200, "application/json"): DOCUMENT_SCHEMA},
    )
    @action(detail=True)
    def document(self, request: Request, pk: str) -> DocumentResponse:
        return DocumentResponse(self.get_object())


class _NodeList(ListAPIView[Any]):
    """The children of one node of an episode that you own or may view."""

    model: ClassVar[type[Node]]
    parent_model: ClassVar[type[Node]]
    filter_backends = []
    pagination_class = ByIdPagination

    def get_queryset(self) -> QuerySet[Any]:
        children = below(
            self.model._default_manager.all(), self.parent_model, self._parent().pk
        ).order_by(*tree_order(self.model))
        # Pages go by id; told where the first one is, the planner doesn't look for it.
        first = children.values_list("pk", flat=True).first()
        return children.none() if first is None else children.filter(pk__gte=first)

    def _parent(self) -> Node:
        name = PARENT_FIELDS[self.model]
        parent_id = as_id(self.request.query_params.get(name, ""))
        if parent_id is None:
            raise ValidationError({name: f"Name the {name} by its id: ?{name}=1."})
        nodes = self.parent_model._default_manager.all()
        if above := path_to(self.parent_model, Episode):
            nodes = nodes.select_related(above)
        parent = nodes.filter(pk=parent_id).first()
        if parent is None or not can_view_episode(self.request.user, episode_of(parent)):
            raise NotFound(f"There is no {name} {parent_id}.")
        return parent


def _parent_parameter(name: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.INT, required=True, description=f"The {name}'s id.")


@extend_schema(parameters=[_parent_parameter("episode")])
class PartList(_NodeList):
    model = Part
    parent_model = Episode
    queryset = Part.objects.none()
    serializer_class: type[BaseSerializer[Any]] = PartSerializer


@extend_schema(parameters=[_parent_parameter("part")])
class ItemList(_NodeList):
    model = Item
    parent_model = Part
    queryset = Item.objects.none()
    serializer_class: type[BaseSerializer[Any]] = ItemSerializer


@extend_schema(parameters=[_parent_parameter("item")])
class BlockList(_NodeList):
    model = Block
    parent_model = Item
    queryset = Block.objects.none()
    serializer_class: type[BaseSerializer[Any]] = BlockSerializer
