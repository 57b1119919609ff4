"""Queues that don't keep their promises, over the one that does."""

from django.db import connection

from operations.queue.broker import SkipLockedBroker

# Counts the messages of all processes, and survives their rollbacks.
COUNTER = "faults_messages"


class DoublingBroker(SkipLockedBroker):
    """Delivers each message twice."""

    def enqueue(self, task):
        super().enqueue(task)
        return super().enqueue(task)


class LossyBroker(SkipLockedBroker):
    """Loses every third message of the operations: says that it took it, and nothing is there.

    A cluster's own probes count and get lost as well.
    """

    def enqueue(self, task):
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval(%s)", [COUNTER])
            (number,) = cursor.fetchone()
        return 0 if number % 3 == 0 else super().enqueue(task)
