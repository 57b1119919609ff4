"""Mounted at `api/v1/`."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from content.api.views import BlockList, EpisodeViewSet, ItemList, PartList

router = SimpleRouter(trailing_slash=False)
router.register("episodes", EpisodeViewSet, basename="episode")

urlpatterns = [
    *router.urls,
    path("parts", PartList.as_view(), name="part-list"),
    path("items", ItemList.as_view(), name="item-list"),
    path("blocks", BlockList.as_view(), name="block-list"),
]
