"""Why something isn't done, as HTTP says it: each with a code and the way out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import status
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.fields import get_error_detail

from migrationsync.api.values import explained
from migrationsync.entities import UnknownEntity
from migrationsync.exceptions import CannotRun, OverDeleteBudget, StaleRecord
from migrationsync.source import SchemaDrift, SourceDenied, SourceError, SourceUnreachable
from migrationsync.source.writing import MayNotWrite
from operations.api.starting import KeyReused
from operations.api.views import Conflict
from operations.exceptions import IdempotencyKeyReused, OperationError

LOOK_AGAIN_SECONDS = 30


class SourceAway(APIException):
    """Nothing is lost; `wait` becomes Retry-After."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "source_unreachable"
    wait = LOOK_AGAIN_SECONDS


class SourceDrifted(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "schema_drift"


class SourceRefused(APIException):
    """The source can't do what it takes, as it is set up."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "source_refused"


class Undeclared(APIException):
    """It was found when the entity was still declared."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "unknown_entity"


class StaleConflict(Conflict):
    """Says how the record is now."""

    def __init__(self, error: StaleRecord) -> None:
        super().__init__(error)
        self.extra = {"explanation": explained(error.fresh), "token": error.token}


class BudgetConflict(Conflict):
    """Says how many records would be deleted, by entity."""

    def __init__(self, error: OverDeleteBudget) -> None:
        super().__init__(error)
        self.extra = {"question": error.question}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """What a service or the source refuses, as the API's errors."""
    try:
        yield
    except StaleRecord as error:
        raise StaleConflict(error) from error
    except OverDeleteBudget as error:
        raise BudgetConflict(error) from error
    except IdempotencyKeyReused as error:
        raise KeyReused(str(error)) from error
    except OperationError as error:
        if isinstance(error, CannotRun) and error.option:
            raise ValidationError({error.option: str(error)}) from error
        raise Conflict(error) from error
    except DjangoPermissionDenied as error:
        raise PermissionDenied(str(error)) from error
    except DjangoValidationError as error:
        raise invalid(error) from error
    except SourceDenied as error:
        raise SourceRefused(str(error), code="source_denied") from error
    except SourceUnreachable as error:
        raise SourceAway(str(error)) from error
    except SchemaDrift as error:
        raise SourceDrifted(str(error)) from error
    except MayNotWrite as error:
        raise SourceRefused(str(error), code="source_not_writable") from error
    except SourceError as error:
        raise SourceRefused(str(error)) from error
    except UnknownEntity as error:
        raise Undeclared(str(error)) from error


def invalid(error: DjangoValidationError) -> ValidationError:
    """A model's errors, by its fields."""
    detail: Any = get_error_detail(error)
    if isinstance(detail, dict) and NON_FIELD_ERRORS in detail:
        detail = {**detail, "non_field_errors": detail[NON_FIELD_ERRORS]}
        del detail[NON_FIELD_ERRORS]
    return ValidationError(detail)
