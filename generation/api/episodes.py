"""An episode's generation over HTTP: start it, estimate it, and read what it made.

What an episode says is for whoever may see the episode; the generation itself, as an
operation, is for who asked for it, or may see any.
"""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.generics import GenericAPIView, ListAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer

from content.links import as_id
from content.models import Episode
from generation import limits
from generation.api.filters import SegmentFilter
from generation.api.metrics import visible_metrics
from generation.api.pagination import SegmentPagination
from generation.api.refusals import AlreadyActive, ScriptConflict, invalid, refused
from generation.api.serializers import (
    EpisodeGenerationSerializer,
    EstimateSerializer,
    GenerateSerializer,
    GenerationSerializer,
    MetricsSerializer,
    OptionsSerializer,
    OutlineSerializer,
    ScriptEditSerializer,
    ScriptSerializer,
    SegmentSerializer,
)
from generation.estimate import estimate
from generation.exceptions import CannotEdit, CannotGenerate, LimitReached, ScriptChanged
from generation.models import GenerationJob, GenerationMetrics, GenerationSegment
from generation.permissions import check_may_generate
from generation.script.script import InvalidScript
from generation.services import edit_script, start_generation
from operations.api.starting import (
    ANSWER_HEADERS,
    KEY_PARAMETER,
    POLL_AFTER_SECONDS,
    KeyReused,
    accepted,
    idempotency_key,
)
from operations.api.views import Conflict
from operations.exceptions import IdempotencyKeyReused

LEFT_OUT_SHOWN = 20
_NOT_FOUND = OpenApiResponse(OpenApiTypes.OBJECT, "No such episode, or nothing there yet.")
_CONFLICT = "What keeps it: nothing to say, a limit with its figure, or the state it is in."


class _OfEpisode(GenericAPIView[Any]):
    """Base: an episode that the user may see, at `pk`, and the generation its fields tell of."""

    def episode(self) -> Episode:
        return get_object_or_404(
            Episode.objects.viewable_by(self.request.user), pk=self.kwargs["pk"]
        )

    def current(self, generations: QuerySet[GenerationJob] | None = None) -> GenerationJob:
        """The generation that the episode's fields tell of, among `generations` (None: all).
        Raises NotFound."""
        episode = self.episode()
        if generations is None:
            generations = GenerationJob.objects.all()
        generation = told_of(episode, generations).first()
        if generation is None:
            raise NotFound(f"Episode {episode.pk} has no generation: POST …/generation starts one.")
        return generation

    def check_allowed(self, episode: Episode) -> None:
        try:
            check_may_generate(self.request.user, episode)
        except DjangoPermissionDenied as error:
            raise PermissionDenied(str(error)) from error


class EpisodeGenerationView(_OfEpisode):
    serializer_class = EpisodeGenerationSerializer

    @extend_schema(summary="How an episode's generation is", responses=EpisodeGenerationSerializer)
    def get(self, request: Request, pk: int) -> Response:
        episode = self.episode()
        generation = told_of(episode, GenerationJob.viewable_by(request.user)).first()
        context = {**self.get_serializer_context(), "generation": generation}
        is_active = generation is not None and generation.is_active
        return Response(
            EpisodeGenerationSerializer(episode, context=context).data,
            headers={"Retry-After": str(POLL_AFTER_SECONDS)} if is_active else None,
        )

    @extend_schema(
        summary="Generate an episode's audio",
        description="Answers at once; follow the generation over the websocket or at `Location`. "
        "While one of the same episode is active, that one is answered (200).",
        request=GenerateSerializer,
        parameters=[KEY_PARAMETER, *ANSWER_HEADERS],
        responses={
            202: GenerationSerializer,
            200: GenerationSerializer,
            400: OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input, with its place."),
            403: OpenApiResponse(OpenApiTypes.OBJECT, "Not allowed; says what is missing."),
            404: _NOT_FOUND,
            409: OpenApiResponse(OpenApiTypes.OBJECT, _CONFLICT),
            422: OpenApiResponse(OpenApiTypes.OBJECT, "The key was used for another request."),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        episode = self.episode()
        self.check_allowed(episode)
        start = GenerateSerializer(data=request.data)
        start.is_valid(raise_exception=True)
        try:
            generation, created = start_generation(
                episode_id=episode.pk,
                requested_by=request.user,
                idempotency_key=idempotency_key(request),
                **start.validated_data,
            )
        except IdempotencyKeyReused as error:
            raise KeyReused(str(error)) from error
        except CannotGenerate as error:
            raise refused(error) from error
        if not GenerationJob.viewable_by(request.user).filter(pk=generation.pk).exists():
            raise AlreadyActive
        return accepted(
            GenerationSerializer(generation, context=self.get_serializer_context()).data,
            created=created,
            location=reverse("generation-detail", args=[generation.pk], request=request),
        )


class EstimateView(_OfEpisode):
    serializer_class = EstimateSerializer

    @extend_schema(
        summary="What a generation would be",
        description="Starts nothing and makes no call to a provider, but reads all words of the "
        "episode. A limit that would refuse it is named in `limit`.",
        request=OptionsSerializer,
        responses={
            200: EstimateSerializer,
            400: OpenApiResponse(OpenApiTypes.OBJECT, "Invalid input, with its place."),
            404: _NOT_FOUND,
            409: OpenApiResponse(OpenApiTypes.OBJECT, "It can't be generated; says what to do."),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        episode = self.episode()
        asked = OptionsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            found = estimate(episode, **asked.validated_data)
        except CannotGenerate as error:
            raise refused(error) from error
        limit = None
        try:
            limits.check(found.cost)
        except LimitReached as error:
            limit = {"code": error.code, "detail": str(error)}
        told = {
            **found.as_json(),
            "cached_share": found.cached_share,
            "left_out_blocks": len(found.left_out),
            "left_out": [each.as_json() for each in found.left_out[:LEFT_OUT_SHOWN]],
            "limit": limit,
        }
        return Response(EstimateSerializer(told).data)


class OutlineView(_OfEpisode):
    serializer_class = OutlineSerializer

    @extend_schema(
        summary="What the audio is about, chapter by chapter",
        responses={200: OutlineSerializer, 404: _NOT_FOUND},
    )
    def get(self, request: Request, pk: int) -> Response:
        outline = self.current().outline
        if outline is None:
            raise NotFound("There is no outline yet.")
        return Response(OutlineSerializer(outline).data)


class ScriptView(_OfEpisode):
    serializer_class = ScriptSerializer

    @extend_schema(
        summary="What is said, by whom",
        description="Its `ETag` changes with each edit.",
        parameters=[
            OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200]),
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER),
        ],
        responses={
            200: ScriptSerializer,
            304: OpenApiResponse(description="As it was read before."),
            404: _NOT_FOUND,
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        generation = self.current()
        if generation.script is None:
            raise NotFound("There is no script yet.")
        found = get_conditional_response(
            cast(Any, request), etag=_etag(generation), response=_script(generation)
        )
        return cast(HttpResponseBase, found)

    @extend_schema(
        summary="Edit the script",
        description="Puts the whole script in the place of the version that was read. Possible "
        "while nothing of it is being said: paused or failed before the audio, or at an end, "
        "where a generation from the audio says it.",
        request=ScriptEditSerializer,
        responses={
            200: ScriptSerializer,
            400: OpenApiResponse(OpenApiTypes.OBJECT, "Invalid, with the place: turns[2].text."),
            403: OpenApiResponse(OpenApiTypes.OBJECT, "Not allowed; says what is missing."),
            404: _NOT_FOUND,
            409: OpenApiResponse(
                OpenApiTypes.OBJECT,
                "`script_changed`: edited meanwhile, with the `version` it is now; or "
                "`cannot_edit`: not now; says when.",
            ),
        },
    )
    def patch(self, request: Request, pk: int) -> Response:
        generation = self.current()
        self.check_allowed(generation.episode)
        edit = ScriptEditSerializer(data=request.data)
        edit.is_valid(raise_exception=True)
        try:
            edited = edit_script(
                generation,
                {"turns": edit.validated_data["turns"]},
                version=edit.validated_data["version"],
                by=request.user,
            )
        except InvalidScript as error:
            raise invalid(error) from error
        except ScriptChanged as error:
            raise ScriptConflict(error) from error
        except CannotEdit as error:
            raise Conflict(error) from error
        return _script(edited)


def told_of(episode: Episode, generations: QuerySet[GenerationJob]) -> QuerySet[GenerationJob]:
    """None of them where the episode's job is another system's."""
    number = as_id(episode.generation_job_id or "")
    return generations.filter(pk=number, episode=episode) if number else generations.none()


def _etag(generation: GenerationJob) -> str:
    # A script is written once, and then edited.
    return f'"{generation.pk}-{generation.script_version}"'


def _script(generation: GenerationJob) -> Response:
    told = {
        **(generation.script or {}),
        "generation": generation.pk,
        "version": generation.script_version,
        "edited_at": generation.script_edited_at,
    }
    return Response(ScriptSerializer(told).data, headers={"ETag": _etag(generation)})


class SegmentList(_OfEpisode, ListAPIView[GenerationSegment]):
    """What each call to the speech provider said, in the order it is heard."""

    queryset = GenerationSegment.objects.none()
    serializer_class: type[BaseSerializer[Any]] = SegmentSerializer
    pagination_class = SegmentPagination
    filterset_class = SegmentFilter

    def get_queryset(self) -> QuerySet[GenerationSegment]:
        current = self.current(GenerationJob.objects.only("pk"))
        return GenerationSegment.objects.filter(generation=current)


class MetricsList(_OfEpisode, ListAPIView[GenerationMetrics]):
    """What the episode's generations used and cost, newest first."""

    queryset = GenerationMetrics.objects.none()
    serializer_class: type[BaseSerializer[Any]] = MetricsSerializer

    def get_queryset(self) -> QuerySet[GenerationMetrics]:
        return visible_metrics(self.request.user).filter(episode=self.episode())
