from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("content.api.urls")),
    path("api/v1/", include("duplication.api.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
]
