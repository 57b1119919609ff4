from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from config import health
from config.api import problems

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("content.api.urls")),
    path("api/v1/", include("duplication.api.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    # Last: what no API path above is, told in the API's own words.
    re_path(r"^api/", problems.unknown_path),
]
