from hypothesis import given
from hypothesis import strategies as st

from operations.step_size import halved, next_size

sizes = st.integers(min_value=1, max_value=1_000_000)
milliseconds = st.floats(min_value=0.01, max_value=1e7)


@given(size=sizes, rows=sizes, elapsed=milliseconds, target=milliseconds)
def test_next_size_anything_stays_within_its_bounds(size, rows, elapsed, target):
    new = next_size(
        size, rows=rows, elapsed_ms=elapsed, target_ms=target, minimum=10, maximum=5_000
    )
    assert 10 <= new <= 5_000


@given(size=st.integers(20, 100_000), rows=sizes, elapsed=milliseconds)
def test_next_size_one_step_at_most_doubles_or_halves(size, rows, elapsed):
    new = next_size(
        size, rows=rows, elapsed_ms=elapsed, target_ms=500, minimum=1, maximum=10_000_000
    )
    assert size / 2 - 1 <= new <= size * 2 + 1


def test_next_size_too_slow_step_shrinks_towards_the_target():
    arguments = {"elapsed_ms": 800, "target_ms": 500, "minimum": 1, "maximum": 10_000}
    assert next_size(1_000, rows=1_000, **arguments) == 625


@given(rows=st.integers(0, 999), elapsed=milliseconds)
def test_next_size_step_cut_short_keeps_the_size(rows, elapsed):
    arguments = {"elapsed_ms": elapsed, "target_ms": 500, "minimum": 1, "maximum": 10_000}
    assert next_size(1_000, rows=rows, **arguments) == 1_000


@given(size=sizes)
def test_halved_any_size_never_falls_below_the_minimum(size):
    assert halved(size, minimum=10) == max(size // 2, 10)
