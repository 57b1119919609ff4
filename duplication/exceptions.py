"""Why a duplication can't start or can't succeed."""

from operations.exceptions import OperationError, WorkFailed


class CannotStart(OperationError):
    """A duplication was asked for that can't be started. The message says what to do."""

    code = "cannot_start"


class OriginalEpisodeNotFound(WorkFailed):
    code = "original_episode_not_found"

    def __init__(self, episode_id: int) -> None:
        super().__init__(
            f"Episode {episode_id} no longer exists: it was deleted before its copy was complete."
        )


class VerificationFailed(WorkFailed):
    code = "verification_failed"
