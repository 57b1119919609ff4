"""How much waits in the queue, whatever broker carries it."""

from __future__ import annotations

import logging

from django_q.brokers import get_broker

from operations.queue.remote import BrokerUnreachable

logger = logging.getLogger("operations.queue")


def queue_depth() -> int | None:
    """How many tasks wait for a worker, about; None, and logged, if the broker can't be asked.

    What a worker or its cluster has taken doesn't count. Bounded by the brokers' own
    time-outs, some seconds. The queue in our database is asked like any table: it raises
    what the database raises.
    """
    try:
        depth: int = get_broker().queue_size()
    except BrokerUnreachable as error:
        logger.warning("The queue's depth is unknown: %s", error)
        return None
    return depth
