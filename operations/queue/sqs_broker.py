"""The queue in Amazon SQS: a standard queue, asked with long polls.

A lease is the message's visibility time-out. Credentials, profile and endpoint are
boto3's own environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL_SQS …), the
region is AWS_REGION. The queue is looked up by name and made if it is missing, so that
nobody needs `sqs:CreateQueue` where it is there.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, ClassVar

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django_q.conf import Conf

from operations.queue.remote import RemoteBroker, Task

MAX_BATCH = 10  # SQS'
# Long polls are short: a stop, and the cluster's own probes, wait for the end of one.
WAIT_SECONDS = 1


@cache
def client() -> Any:
    """This process's client. Making one takes a quarter of a second, so it is made once."""
    return boto3.session.Session().client(
        "sqs",
        region_name=settings.AWS_REGION,
        config=Config(
            connect_timeout=3,
            read_timeout=WAIT_SECONDS + 3,
            retries={"mode": "standard", "total_max_attempts": 2},
        ),
    )


@cache
def queue_url(name: str) -> str:
    """Where the queue of this name is. It is made if it is missing."""
    try:
        answer = client().get_queue_url(QueueName=name)
    except client().exceptions.QueueDoesNotExist:
        answer = client().create_queue(
            QueueName=name, Attributes={"VisibilityTimeout": str(Conf.RETRY)}
        )
    url: str = answer["QueueUrl"]
    return url


def forget_client() -> None:
    """Make the next call start with a new client."""
    client.cache_clear()
    queue_url.cache_clear()


# A connection that two processes write to gives one the other's answers.
os.register_at_fork(after_in_child=forget_client)


class SqsBroker(RemoteBroker):
    """A task is acknowledged by the receipt of the time it was leased."""

    label: ClassVar[str] = "SQS"
    errors: ClassVar[tuple[type[Exception], ...]] = (BotoCoreError, ClientError)

    def _send(self, task: str) -> str:
        message_id: str = self._ask("send_message", MessageBody=task)["MessageId"]
        return message_id

    def _receive(self) -> list[Task]:
        answer = self._ask(
            "receive_message",
            MaxNumberOfMessages=min(Conf.BULK, MAX_BATCH),
            VisibilityTimeout=Conf.RETRY,
            WaitTimeSeconds=WAIT_SECONDS,
        )
        return [
            (message["ReceiptHandle"], message["Body"]) for message in answer.get("Messages", [])
        ]

    def _remove(self, acknowledgement: str) -> None:
        self._ask("delete_message", ReceiptHandle=acknowledgement)

    def _size(self) -> int:
        name = "ApproximateNumberOfMessages"
        return int(self._ask("get_queue_attributes", AttributeNames=[name])["Attributes"][name])

    def _ask(self, operation: str, **parameters: Any) -> Any:
        try:
            return getattr(client(), operation)(QueueUrl=queue_url(self.list_key), **parameters)
        except client().exceptions.QueueDoesNotExist:
            queue_url.cache_clear()  # deleted under us: the next call makes it again
            raise
