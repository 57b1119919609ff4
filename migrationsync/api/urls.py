"""Mounted at `api/v1/sync/`."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from migrationsync.api.views.findings import ChangeViewSet, DifferentialViewSet, RecordViewSet
from migrationsync.api.views.jobs import (
    CheckpointViewSet,
    JobViewSet,
    RunViewSet,
    SchedulePreviewView,
)
from migrationsync.api.views.tables import (
    EntityListView,
    MappingViewSet,
    QuarantineViewSet,
    ReportViewSet,
)

router = SimpleRouter(trailing_slash=False)
router.register("jobs", JobViewSet, basename="sync-job")
router.register("runs", RunViewSet, basename="sync-run")
router.register("checkpoints", CheckpointViewSet, basename="sync-checkpoint")
router.register("differentials", DifferentialViewSet, basename="sync-differential")
router.register("records", RecordViewSet, basename="sync-record")
router.register("changes", ChangeViewSet, basename="sync-change")
router.register("quarantine", QuarantineViewSet, basename="sync-quarantine")
router.register("mappings", MappingViewSet, basename="sync-mapping")
router.register("reports", ReportViewSet, basename="sync-report")

urlpatterns = [
    *router.urls,
    path("schedule-preview", SchedulePreviewView.as_view(), name="sync-schedule-preview"),
    path("entities", EntityListView.as_view(), name="sync-entities"),
]
