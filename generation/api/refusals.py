"""Why nothing is generated or changed, as HTTP says it: each with a code and the way out."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError

from generation.exceptions import CannotGenerate, ScriptChanged
from generation.script.script import InvalidScript
from operations.api.views import Conflict

# Those say that the request is wrong, not the state of things.
_FIELDS = ("from_stage", "voices", "speed")
_PROVIDERS = ("provider_input", "provider_request")


class AlreadyActive(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "already_active"
    default_detail = "This episode is being generated for somebody else: wait until that has ended."


class ScriptConflict(Conflict):
    """Says which version there is now."""

    def __init__(self, error: ScriptChanged) -> None:
        super().__init__(error)
        self.extra = {"version": error.version}


def refused(error: CannotGenerate) -> APIException:
    """400 with the place for what was asked wrongly, else 409."""
    if error.code in _FIELDS:
        return ValidationError({error.code: str(error)})
    if error.code in _PROVIDERS:
        return ValidationError(str(error), code=error.code)
    return Conflict(error)


def invalid(error: InvalidScript) -> ValidationError:
    """Its detail names the place as `turns[2].text`, its pointer is `/turns/2/text`."""
    place = re.sub(r"\[(\d+)\]", r"/\1", error.place).replace(".", "/", 1)
    mistakes: dict[str, Any] = {place: str(error)}
    return ValidationError(mistakes, code=error.code)
