from rest_framework.routers import SimpleRouter

from duplication.api.views import DuplicationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("duplications", DuplicationViewSet, basename="duplication")

urlpatterns = router.urls
