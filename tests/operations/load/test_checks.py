import pytest

from operations.gates.load.checks import check_load


def test_check_load_defaults_are_fine():
    assert check_load(None) == []


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("LOAD_WHEN_UNREADABLE", "Wait", "E021"),
        ("LOAD_MAX_ACTIVE_SESSIONS", -1, "E022"),
        ("LOAD_MAX_REPLICATION_LAG_SECONDS", -1, "E022"),
        ("LOAD_RDS_MAX_CPU_PERCENT", 0, "E022"),
        ("LOAD_MAX_SLOWDOWN", 1.0, "E023"),
        ("LOAD_MAX_SLOWDOWN", -4.0, "E023"),
        ("LOAD_SHARE_PERCENT", -1, "E024"),
    ],
)
def test_check_load_value_that_makes_no_sense_is_an_error(settings, name, value, number):
    setattr(settings, name, value)
    assert [error.id for error in check_load(None)] == [f"operations.{number}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOAD_WHEN_UNREADABLE", "wait"), ("LOAD_MAX_SLOWDOWN", 0), ("LOAD_MAX_SLOWDOWN", 1.5)],
)
def test_check_load_value_that_means_something_passes(settings, name, value):
    setattr(settings, name, value)
    assert check_load(None) == []
