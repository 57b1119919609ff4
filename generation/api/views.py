"""Generations over HTTP: start many, list, look, read the events, steer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from content.models import Episode
from generation.api.filters import GenerationFilter
from generation.api.refusals import AlreadyActive
from generation.api.serializers import (
    GenerateManySerializer,
    GenerateOutcomeSerializer,
    GenerationSerializer,
)
from generation.models import GenerationJob
from generation.permissions import missing_permissions
from generation.services import start_many
from operations.api.starting import (
    KEY_PARAMETER,
    MAX_KEY_LENGTH,
    POLL_AFTER_SECONDS,
    idempotency_key,
)
from operations.api.views import OperationViewSet

# The episode's id is put behind it.
MAX_KEY_OF_MANY = MAX_KEY_LENGTH - len(":9223372036854775807")


class GenerationViewSet(OperationViewSet[GenerationJob]):
    """Audio in the making, and made. One sees what one asked for, or with the model's view
    permission everybody's; others' are answered like ones that don't exist."""

    serializer_class = GenerationSerializer
    filterset_class = GenerationFilter
    model = GenerationJob
    queryset = GenerationJob.objects.none()

    @extend_schema(
        summary="Generate the audio of many episodes",
        description="Answers at once, with what became of each: one that is refused doesn't keep "
        "the others. As many run at the same time as the installation lets run of a kind "
        "(OPERATION_MAX_CONCURRENT_JOBS, 5, over all machines); the rest wait for a place and say "
        "so. 202 where at least one was started.",
        request=GenerateManySerializer,
        parameters=[KEY_PARAMETER],
        responses={
            202: GenerateOutcomeSerializer(many=True),
            200: GenerateOutcomeSerializer(many=True),
            400: OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input."),
        },
        filters=False,
    )
    def create(self, request: Request) -> Response:
        start = GenerateManySerializer(data=request.data)
        start.is_valid(raise_exception=True)
        options = dict(start.validated_data)
        wanted = list(dict.fromkeys(options.pop("episodes")))
        key = idempotency_key(request, max_length=MAX_KEY_OF_MANY)
        found = Episode.objects.viewable_by(request.user).in_bulk(wanted)
        refusals = {pk: _refusal(request.user, pk, found.get(pk)) for pk in wanted}
        outcomes = start_many(
            [found[pk] for pk in wanted if not refusals[pk]],
            requested_by=request.user,
            idempotency_key=key or "",
            **options,
        )
        told = {pk: _outcome(pk, refusal=refusal) for pk, refusal in refusals.items()}
        seen = self._seen([each.started.generation.pk for each in outcomes if each.started])
        for episode, started, refusal in outcomes:
            if started is None:
                told[episode.pk] = _outcome(episode.pk, refusal=refusal)
            elif started.generation.pk not in seen:
                told[episode.pk] = _outcome(episode.pk, refusal=AlreadyActive.default_detail)
            else:
                told[episode.pk] = _outcome(
                    episode.pk,
                    "started" if started.created else "active",
                    generation=started.generation.pk,
                )
        is_any_started = any(each.started and each.started.created for each in outcomes)
        return Response(
            GenerateOutcomeSerializer(list(told.values()), many=True).data,
            status=status.HTTP_202_ACCEPTED if is_any_started else status.HTTP_200_OK,
            headers={"Retry-After": str(POLL_AFTER_SECONDS)},
        )

    def _seen(self, ids: list[int]) -> set[int]:
        return set(self.get_queryset().filter(pk__in=ids).values_list("pk", flat=True))


def _refusal(user: Any, pk: int, episode: Episode | None) -> str:
    if episode is None:
        return f"There is no episode {pk}."
    return next(missing_permissions(user, episode), "")


def _outcome(
    episode: int, outcome: str = "refused", *, generation: int | None = None, refusal: str = ""
) -> dict[str, Any]:
    return {
        "episode": episode,
        "outcome": outcome,
        "generation": generation,
        "refusal": refusal,
    }
