"""Taking copies away, over HTTP: what is asked for, and the removals themselves."""

from __future__ import annotations

from typing import Any

import django_filters
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from duplication.exceptions import CannotRemove
from duplication.models import Removal
from duplication.removal.services import keep_copy
from operations.api.serializers import OperationSerializer
from operations.api.views import Conflict, OperationViewSet
from operations.exceptions import InvalidTransition


class RemovalRequestSerializer(serializers.Serializer[Any]):
    """What a removal is started with."""

    even_if_changed = serializers.BooleanField(
        default=False,
        help_text="Also where the copy was changed or duplicated since: the changes are lost.",
    )


class RemovalSerializer(OperationSerializer):
    url = serializers.HyperlinkedIdentityField(view_name="removal-detail")

    class Meta:
        model = Removal
        fields = [*OperationSerializer.Meta.fields, "duplication", "even_if_changed"]
        read_only_fields = fields


class RemovalFilter(django_filters.FilterSet):
    # A number, not a choice: that would tell which duplications of others exist.
    duplication = django_filters.NumberFilter(field_name="duplication_id")

    class Meta:
        model = Removal
        fields = ["status", "duplication"]


class RemovalViewSet(OperationViewSet[Removal]):
    """Copies that are taken away: undone, or cleaned up after."""

    serializer_class = RemovalSerializer
    filterset_class = RemovalFilter
    model = Removal
    queryset = Removal.objects.none()

    @extend_schema(
        summary="Keep the copy",
        description="Settles a removal that failed before it deleted anything. The copy can be "
        "removed later all the same.",
        request=None,
        responses={
            200: RemovalSerializer,
            403: OpenApiResponse(OpenApiTypes.OBJECT, "Somebody else's."),
            409: OpenApiResponse(OpenApiTypes.OBJECT, "Not failed, or part of it is gone."),
        },
    )
    @action(detail=True, methods=["post"])
    def keep(self, request: Request, pk: Any = None) -> Response:
        try:
            removal = keep_copy(removal=self.get_object(), by=request.user)
        except (CannotRemove, InvalidTransition) as error:
            raise Conflict(error) from error
        except DjangoPermissionDenied as error:
            raise PermissionDenied(str(error)) from error
        return Response(self.get_serializer(removal).data)
