"""Why a generation isn't started or changed: each with a code and the way out."""

from __future__ import annotations

from operations.exceptions import OperationError


class CannotGenerate(OperationError):
    """Refused before anything was started. The message is for the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LimitReached(CannotGenerate):
    """It would cost more than is allowed, for one generation or for the day."""

    def __init__(self, message: str) -> None:
        super().__init__("cost_limit", message)


class CannotEdit(OperationError):
    """The script can't be edited now. The message says when it can."""

    code = "cannot_edit"


class ScriptChanged(OperationError):
    """Somebody else edited the script since it was read."""

    code = "script_changed"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The script was edited meanwhile (it is version {version} now): read it again, and "
            "put your changes into that."
        )
        self.version = version
