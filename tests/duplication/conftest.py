import pytest

from operations.gates.load import forget_readings
from operations.models import Event


@pytest.fixture(autouse=True)
def fresh_readings():
    forget_readings()


@pytest.fixture
def driver_events():
    """The events of an operation, in order."""

    def events(operation):
        return list(Event.objects.filter(kind=operation.kind, operation_id=str(operation.pk)))

    return events
