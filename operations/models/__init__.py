from operations.models.event import Event
from operations.models.heartbeat import ClusterHeartbeat
from operations.models.idempotency import IdempotencyKey
from operations.models.job import Job
from operations.models.operation import Operation

__all__ = ["ClusterHeartbeat", "Event", "IdempotencyKey", "Job", "Operation"]
