"""What can go wrong with an operation, told apart by who has to act."""

from __future__ import annotations


class OperationError(Exception):
    """Base of every error the kernel raises."""

    code = "operation_error"


class InvalidTransition(OperationError):
    """The row is not in a status from which this edge may be taken."""

    code = "invalid_transition"

    def __init__(self, row: object, edge: str, status: str) -> None:
        super().__init__(f"{row} is {status}: it can't {edge.replace('_', ' ')}.")
        self.edge = edge
        self.status = status


class Refused(OperationError):
    """Its kind doesn't allow this of the operation, as it is. The message says what to do."""

    code = "refused"


class LeaseLost(OperationError):
    """The job was taken by another worker: this one must not write any more."""

    code = "lease_lost"


class WorkFailed(OperationError):
    """A step found that its operation can't succeed. The message is for the user.

    Raised by an app's work for an expected failure; the runner fails the job with
    `code` and the message. Anything else a step raises is an unexpected error.
    """

    code = "work_failed"


class WorkWaits(OperationError):
    """A step can't be done at present, and nobody has to act for it to be possible later.

    Raised by an app's work, in `prepare` or in the step, which is rolled back. The runner
    tries again after `seconds`, and shows the message as the reason until then.
    """

    code = "work_waits"

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds = seconds


class AttemptsExhausted(WorkFailed):
    """The same step was started too often without ever ending (it kills its worker)."""

    code = "attempts_exhausted"


class IdempotencyKeyReused(OperationError):
    """The same key came with another request."""

    code = "idempotency_key_reused"


class UnknownKind(OperationError):
    """No app has registered an operation of this kind."""

    code = "unknown_kind"
