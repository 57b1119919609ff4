import pytest

from benchmarks.latency import Latency, median_p95_ms


def test_latency_percentiles_are_delays_that_were_seen() -> None:
    latency = Latency.of(number / 1000 for number in range(100, 0, -1))
    assert latency.count == 100
    found = (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms)
    assert found == pytest.approx((50, 95, 99, 100))


def test_latency_of_one_delay_is_that_delay() -> None:
    latency = Latency.of([0.003])
    assert (latency.p50_ms, latency.p95_ms, latency.max_ms) == pytest.approx((3, 3, 3))


def test_latency_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no delays"):
        Latency.of([])


def test_median_p95_one_bad_run_does_not_decide() -> None:
    runs = [Latency.of([seconds]) for seconds in (0.002, 0.9, 0.003)]
    assert median_p95_ms(runs) == pytest.approx(3)
