import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.gates.load import Reading, decide


def reading(value=None, limit=80.0, error="", note="", signal="Database CPU"):
    return Reading(signal, "%", limit, value=value, error=error, note=note)


limits = st.floats(min_value=0, max_value=1e6)
figures = st.floats(min_value=0, max_value=1e9)
seen = st.builds(reading, value=figures, limit=limits)
unreadable = st.builds(reading, error=st.text(min_size=1), limit=limits)
nothing = st.builds(reading, note=st.text(min_size=1), limit=st.none() | limits)
settings = st.sampled_from(["proceed", "wait"])


def test_decide_over_the_limit_waits_and_gives_both_figures():
    assert decide([reading(86.4)], when_unreadable="proceed") == (60, "Database CPU 86% > 80%.")


@pytest.mark.parametrize(
    ("value", "told"), [(80.4, "80.4% > 80%"), (80.04, "80.04% > 80%"), (81, "81% > 80%")]
)
def test_decide_just_over_the_limit_says_so_in_figures(value, told):
    assert told in decide([reading(value)], when_unreadable="proceed").reason


def test_decide_at_the_limit_proceeds():
    assert decide([reading(80.0)], when_unreadable="wait") is None


def test_decide_unreadable_follows_the_setting():
    silent = [reading(error="no credentials")]
    assert decide(silent, when_unreadable="proceed") is None
    assert decide(silent, when_unreadable="wait").reason == (
        "Database CPU can't be read: no credentials."
    )


def test_decide_what_is_over_counts_before_what_cannot_be_read():
    both = [reading(error="no credentials"), reading(9, limit=3, signal="Sessions")]
    assert decide(both, when_unreadable="wait").reason.startswith("Sessions 9%")


@given(st.lists(seen | unreadable | nothing), settings)
def test_decide_waits_exactly_if_one_is_over_or_unreadable_ones_are_to_wait(readings, setting):
    expected = any(each.value is not None and each.value > each.limit for each in readings) or (
        setting == "wait" and any(each.error for each in readings)
    )
    wait = decide(readings, when_unreadable=setting)
    assert (wait is not None) == expected
    if wait:
        assert wait.seconds == 60
        assert len(wait.reason) <= 255  # what an operation's row holds


@given(st.lists(nothing), settings)
def test_decide_nothing_to_read_proceeds(readings, setting):
    assert decide(readings, when_unreadable=setting) is None


@given(st.integers(1, 1_000), st.integers(0, 1_000))
def test_decide_the_figures_told_show_that_it_is_over(limit, thousandths):
    value = limit + (thousandths + 1) / 1_000
    told = decide([reading(value, limit=limit)], when_unreadable="proceed").reason
    left, right = re.findall(r"[\d.]+(?=%)", told)
    assert float(left) > float(right)
