from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView

from config import health
from config.api import problems
from config.home import home
from operations.admin.dashboard import dashboard

admin.site.site_url = "/my/episodes"

urlpatterns = [
    path("", home, name="home"),
    path("login", LoginView.as_view(extra_context={"title": "Log in"}), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/operations/", admin.site.admin_view(dashboard), name="operations-dashboard"),
    path("admin/", admin.site.urls),
    path("operations/", include("operations.urls")),
    path("my/", include("duplication.pages.urls")),
    path("my/", include("generation.pages.urls")),
    path("", include("generation.urls")),
    path("api/v1/", include("content.api.urls")),
    path("api/v1/", include("duplication.api.urls")),
    path("api/v1/", include("generation.api.urls")),
    path("api/v1/sync/", include("migrationsync.api.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    # Last: what no API path above is, told in the API's own words.
    re_path(r"^api/", problems.unknown_path),
]
