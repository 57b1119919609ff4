"""Mounted at `api/v1/`."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from generation.api.episodes import (
    EpisodeGenerationView,
    EstimateView,
    MetricsList,
    OutlineView,
    ScriptView,
    SegmentList,
)
from generation.api.metrics import TotalsView
from generation.api.views import GenerationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("generations", GenerationViewSet, basename="generation")

_OF_EPISODE = "episodes/<int:pk>/generation"
urlpatterns = [
    *router.urls,
    path(_OF_EPISODE, EpisodeGenerationView.as_view(), name="episode-generation"),
    path(f"{_OF_EPISODE}/estimate", EstimateView.as_view(), name="episode-generation-estimate"),
    path(f"{_OF_EPISODE}/outline", OutlineView.as_view(), name="episode-generation-outline"),
    path(f"{_OF_EPISODE}/script", ScriptView.as_view(), name="episode-generation-script"),
    path(f"{_OF_EPISODE}/segments", SegmentList.as_view(), name="episode-generation-segments"),
    path(f"{_OF_EPISODE}/metrics", MetricsList.as_view(), name="episode-generation-metrics"),
    path("generation-metrics/totals", TotalsView.as_view(), name="generation-metrics-totals"),
]
