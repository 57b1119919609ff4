"""What generations used and cost, over HTTP."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.api.serializers import TotalSerializer
from generation.models import GenerationMetrics
from generation.totals import BY, totals


class TotalsQuerySerializer(serializers.Serializer[Any]):
    group = serializers.ChoiceField(choices=BY, default="day")

    def get_fields(self) -> dict[str, Any]:
        # One of these names is a word of the language.
        return {
            **super().get_fields(),
            "from": serializers.DateField(default=None),
            "to": serializers.DateField(default=None),
        }


class TotalsView(APIView):
    @extend_schema(
        operation_id="generation_metrics_totals",
        summary="What generations used and cost together",
        description="Those of your own episodes, or with the permission to view the metrics all. "
        "Days are UTC, newest first, and only those on which a generation ended.",
        parameters=[
            OpenApiParameter("group", str, enum=BY, default="day"),
            OpenApiParameter("from", str, description="The first day, as 2026-03-01."),
            OpenApiParameter("to", str, description="The last day."),
        ],
        responses=TotalSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        asked = TotalsQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        found = totals(
            asked.validated_data["group"],
            since=asked.validated_data["from"],
            until=asked.validated_data["to"],
            metrics=visible_metrics(request.user),
        )
        return Response(TotalSerializer(found, many=True).data)


def visible_metrics(user: Any) -> QuerySet[GenerationMetrics]:
    """All with the view permission, else those of the user's own episodes."""
    metrics = GenerationMetrics.objects.all()
    if user.has_perm("generation.view_generationmetrics"):
        return metrics
    return metrics.filter(episode__owner=user)
