"""What every test begins with."""

import pytest


@pytest.fixture(autouse=True)
def nothing_read_of_the_load():
    """What a test before made the load gate see holds for seconds: work of this one would wait."""
    from operations.gates.load.state import forget_readings

    forget_readings()
