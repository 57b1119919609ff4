"""What can be done to a copy afterwards, over HTTP: catching up."""

from __future__ import annotations

from duplication.api.filters import CatchUpFilter
from duplication.api.serializers import CatchUpSerializer
from duplication.models import CatchUp
from operations.api.views import OperationViewSet


class CatchUpViewSet(OperationViewSet[CatchUp]):
    """Copies brought up to date with what was edited while they were made."""

    serializer_class = CatchUpSerializer
    filterset_class = CatchUpFilter
    model = CatchUp
    queryset = CatchUp.objects.none()
