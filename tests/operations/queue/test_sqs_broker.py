"""What only SQS has: a queue that must be there, receipts, a session that costs time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from django_q.brokers import get_broker
from django_q.conf import Conf

from operations.queue import sqs_broker
from operations.queue.remote import BrokerUnreachable
from tests.aws import REGION
from tests.operations.queue.brokers import choose

RETRY_SECONDS = 45


@pytest.fixture(autouse=True)
def chosen(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with choose("sqs", monkeypatch, retry=RETRY_SECONDS):
        yield


@pytest.fixture
def sqs(aws: dict[str, str]) -> Any:
    """What an operator sees of it."""
    return boto3.client("sqs", region_name=REGION)


def urls(sqs: Any) -> list[str]:
    answer: list[str] = sqs.list_queues().get("QueueUrls", [])
    return answer


def test_queue_missing_is_made_with_the_lease_as_its_visibility_timeout(sqs: Any) -> None:
    get_broker().enqueue("task")
    [url] = urls(sqs)
    assert url.endswith(f"/{Conf.CLUSTER_NAME}")
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert answer["Attributes"] == {"VisibilityTimeout": str(RETRY_SECONDS)}


def test_queue_of_the_operator_is_used_as_it_is_and_leased_from_for_our_time(
    sqs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sqs.create_queue(QueueName=Conf.CLUSTER_NAME, Attributes={"VisibilityTimeout": "0"})[
        "QueueUrl"
    ]
    broker = get_broker()
    broker.enqueue("task")
    # Visible again at once, were it not for the time that is asked for with each receive.
    assert broker.dequeue()
    assert broker.dequeue() is None
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert answer["Attributes"] == {"VisibilityTimeout": "0"}


def test_queue_deleted_under_us_is_made_again_at_the_next_call(sqs: Any) -> None:
    broker = get_broker()
    broker.enqueue("task")
    sqs.delete_queue(QueueUrl=urls(sqs)[0])
    with pytest.raises(BrokerUnreachable, match="SQS took no task"):
        broker.enqueue("task")
    broker.enqueue("task")
    assert broker.queue_size() == 1


def test_dequeue_more_than_sqs_gives_at_once_takes_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "BULK", 12)
    broker = get_broker()
    for n in range(12):
        broker.enqueue(f"task {n}")
    assert len(broker.dequeue()) <= 10


class ThrottledBody:
    """What a response's body is to botocore."""

    def stream(self) -> Iterator[bytes]:
        yield b'{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "Slow down."}'


def test_dequeue_throttled_once_is_asked_again_by_the_client() -> None:
    answers = [AWSResponse("http://sqs", 400, {}, ThrottledBody())]

    def throttle_once(**request: Any) -> AWSResponse | None:
        return answers.pop() if answers else None

    broker = get_broker()
    broker.enqueue("task")
    sqs_broker.client().meta.events.register("before-send.sqs.ReceiveMessage", throttle_once)
    [(_, payload)] = broker.dequeue()
    assert payload == "task"
    assert not answers
