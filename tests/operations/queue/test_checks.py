from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from operations.queue.checks import TAG, minimal_retry


def errors_with(**queue: Any) -> list[str | None]:
    with override_settings(Q_CLUSTER={**settings.Q_CLUSTER, **queue}):
        return found()


def found() -> list[str | None]:
    messages = run_checks(tags=[TAG])
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def test_checks_default_settings_are_right() -> None:
    assert found() == []


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
def test_checks_prefetch_as_large_as_the_workers_fits_any_number(workers: int) -> None:
    assert errors_with(workers=workers, queue_limit=workers) == []


@pytest.mark.parametrize("name", ["timeout", "retry", "workers", "queue_limit", "bulk"])
@pytest.mark.parametrize("value", [None, 0])
def test_checks_value_missing_or_zero_is_an_error(name: str, value: int | None) -> None:
    assert errors_with(**{name: value}) == ["operations.E001"]


@pytest.mark.parametrize(
    ("queue", "turns"),
    [
        ({"workers": 1, "queue_limit": 1, "bulk": 1}, 3),
        ({"workers": 2, "queue_limit": 2, "bulk": 1}, 3),
        ({"workers": 2, "queue_limit": 8, "bulk": 1}, 6),
        ({"workers": 2, "queue_limit": 2, "bulk": 4}, 4),
        ({"workers": 8, "queue_limit": 1, "bulk": 1}, 2),
    ],
)
def test_checks_retry_no_longer_than_waiting_and_running_is_an_error(
    queue: dict[str, int], turns: int
) -> None:
    needed = minimal_retry(timeout=120, **queue)
    assert needed == turns * 125
    assert errors_with(**queue, timeout=120, retry=needed) == ["operations.E002"]
    assert errors_with(**queue, timeout=120, retry=needed + 1) == []


def test_checks_pool_in_a_database_of_the_workers_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", {"pool": {"max_size": 4}})
    assert found() == ["operations.E003"]


@pytest.mark.parametrize("alias", [None, "replica"])
def test_checks_queue_in_another_database_is_an_error(alias: str | None) -> None:
    assert errors_with(orm=alias) == ["operations.E004"]


# --- brokers ------------------------------------------------------------------------


def errors_of(broker: str, **queue: Any) -> list[str | None]:
    """The errors where QUEUE_BROKER is `broker`."""
    chosen = {"broker_class", "orm", "redis"}
    own = {key: value for key, value in settings.Q_CLUSTER.items() if key not in chosen}
    with override_settings(
        QUEUE_BROKER=broker, Q_CLUSTER={**own, **settings.QUEUE_BROKERS.get(broker, {}), **queue}
    ):
        return found()


@pytest.mark.parametrize(
    ("broker", "queue"), [("orm", {}), ("redis", {"redis": "redis://somewhere"}), ("sqs", {})]
)
def test_checks_each_broker_with_what_it_needs_is_right(broker: str, queue: dict[str, str]) -> None:
    assert errors_of(broker, **queue) == []


def test_checks_unknown_broker_is_an_error_that_names_the_known() -> None:
    assert errors_of("rabbitmq") == ["operations.E008"]
    with override_settings(QUEUE_BROKER="rabbitmq"):
        [error] = run_checks(tags=[TAG])
    assert "QUEUE_BROKER" in error.msg
    assert "orm, redis, sqs" in str(error.hint)


@pytest.mark.parametrize("address", ["", "127.0.0.1:6379", "http://somewhere"])
def test_checks_redis_without_its_address_is_an_error(address: str) -> None:
    assert errors_of("redis", redis=address) == ["operations.E009"]


@pytest.mark.parametrize("name", ["", "with spaces", "x" * 81, "ordered.fifo"])
def test_checks_name_that_sqs_refuses_is_an_error_there_alone(name: str) -> None:
    assert errors_of("sqs", name=name) == ["operations.E010"]
    assert errors_of("orm", name=name) == []


def test_checks_lease_longer_than_sqs_allows_is_an_error_there_alone() -> None:
    assert errors_of("sqs", retry=43_200) == []
    assert errors_of("sqs", retry=43_201) == ["operations.E011"]
    assert errors_of("orm", retry=43_201) == []


@pytest.mark.parametrize("broker", ["redis", "sqs"])
def test_checks_remote_queue_that_claims_to_be_in_the_database_is_an_error(broker: str) -> None:
    assert errors_of(broker, orm="default", redis="redis://somewhere") == ["operations.E004"]


@pytest.mark.parametrize("broker", ["redis", "sqs"])
def test_checks_remote_queue_follows_the_same_arithmetic(broker: str) -> None:
    assert errors_of(broker, redis="redis://somewhere", retry=375) == ["operations.E002"]


# --- tasks --------------------------------------------------------------------------


@pytest.mark.parametrize("queue", [{"ack_failures": False}, {"max_attempts": 3}])
def test_checks_queue_that_counts_attempts_is_an_error(queue: dict[str, Any]) -> None:
    assert errors_with(**queue) == ["operations.E005"]


@pytest.mark.parametrize(
    "values",
    [
        {"OPERATION_TIME_BUDGET_SECONDS": 60.0, "OPERATION_LEASE_SECONDS": 60},
        {"OPERATION_TIME_BUDGET_SECONDS": 20.0, "OPERATION_LEASE_SECONDS": 100},
    ],
)
def test_checks_job_that_may_outlast_the_timeout_is_an_error(values: dict[str, Any]) -> None:
    with override_settings(**values):
        assert errors_with(timeout=120) == ["operations.E006"]
        assert errors_with(timeout=121) == []


@pytest.mark.parametrize(("limit", "errors"), [(-1, []), (0, []), (250, ["operations.E007"])])
def test_checks_save_limit_above_zero_is_an_error(limit: int, errors: list[str]) -> None:
    assert errors_with(save_limit=limit) == errors
