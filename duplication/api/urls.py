from rest_framework.routers import SimpleRouter

from duplication.api.following_up import CatchUpViewSet
from duplication.api.removing import RemovalViewSet
from duplication.api.views import DuplicationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("duplications", DuplicationViewSet, basename="duplication")
router.register("removals", RemovalViewSet, basename="removal")
router.register("catch-ups", CatchUpViewSet, basename="catch-up")

urlpatterns = router.urls
