"""The queue in Redis: a list of what waits, a sorted set of what is leased.

A leased task lies in the set, with the end of its lease, until it is acknowledged; so a
cluster that is killed loses none. (django-q's own Redis broker pops a task and forgets it.)
Redis itself may forget: how much is up to its persistence. The dispatcher covers that.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any, ClassVar

import redis
from django_q.conf import Conf

from operations.queue.remote import RemoteBroker, Task

# The time is Redis' own: machines whose clocks differ agree on when a lease has run out.
# It is counted in whole seconds, and a lease lasts `retry` of them at least.
DEQUEUE = """
local now = tonumber(redis.call('TIME')[1])
for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', KEYS[2], task)
    redis.call('LPUSH', KEYS[1], task)
end
local tasks = {}
for _ = 1, ARGV[1] do
    local task = redis.call('LPOP', KEYS[1])
    if not task then break end
    redis.call('ZADD', KEYS[2], now + ARGV[2], task)
    tasks[#tasks + 1] = task
end
return tasks
"""


@cache
def client() -> Any:
    """This process's client."""
    return redis.Redis.from_url(
        Conf.REDIS,
        decode_responses=True,
        socket_connect_timeout=3,
        socket_timeout=5,
        health_check_interval=30,
    )


# A connection that two processes write to gives one the other's answers.
os.register_at_fork(after_in_child=client.cache_clear)


class RedisBroker(RemoteBroker):
    """A task is acknowledged by its own text, which its id makes unique."""

    label: ClassVar[str] = "Redis"
    errors: ClassVar[tuple[type[Exception], ...]] = (redis.RedisError,)

    @property
    def _waiting(self) -> str:
        # In braces, so that a Redis cluster keeps both keys on one node.
        return f"{{{self.list_key}}}:waiting"

    @property
    def _leased(self) -> str:
        return f"{{{self.list_key}}}:leased"

    def _send(self, task: str) -> str:
        client().rpush(self._waiting, task)
        return self._waiting

    def _receive(self) -> list[Task]:
        tasks = client().eval(DEQUEUE, 2, self._waiting, self._leased, Conf.BULK, Conf.RETRY)
        if not tasks:
            time.sleep(Conf.POLL)
        return [(task, task) for task in tasks]

    def _remove(self, acknowledgement: str) -> None:
        client().zrem(self._leased, acknowledgement)

    def _size(self) -> int:
        size: int = client().llen(self._waiting)
        return size
