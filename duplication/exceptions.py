"""Why a duplication can't start or can't succeed."""

from operations.exceptions import OperationError, WorkFailed


class CannotStart(OperationError):
    """A duplication was asked for that can't be started. The message says what to do."""

    code = "cannot_start"


class CannotCatchUp(OperationError):
    """There is nothing to catch up, or not now. The message says why."""

    code = "cannot_catch_up"


class CannotMend(OperationError):
    """A link can't be pointed where it was asked to. The message says what to do."""

    code = "cannot_mend"


class OriginalEpisodeNotFound(WorkFailed):
    code = "original_episode_not_found"

    def __init__(self, episode_id: int) -> None:
        super().__init__(
            f"Episode {episode_id} no longer exists: it was deleted before its copy was complete."
        )


class VerificationFailed(WorkFailed):
    code = "verification_failed"


class CannotRemove(WorkFailed):
    """A copy can't be taken away, found out at once or on the way. `code` names the reason,
    the message adds a way on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
