"""Whether a rule is kept where people are told of it, and where nothing gets by it."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction


def problems(row):
    """What `full_clean` says is wrong, by field."""
    try:
        row.full_clean()
    except ValidationError as error:
        return error.message_dict
    return {}


def assert_refused(row, message, constraint, **changes):
    """`changes` of a stored row are refused with this message before they are saved, and by the
    database for whoever doesn't ask."""
    assert problems(row) == {}
    for name, value in changes.items():
        setattr(row, name, value)
    told = [each for messages in problems(row).values() for each in messages]
    assert message in told, told
    assert_database_refuses(row, constraint, **changes)


def assert_database_refuses(row, constraint, **changes):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        type(row)._base_manager.filter(pk=row.pk).update(**changes)


def assert_accepted(row, **changes):
    for name, value in changes.items():
        setattr(row, name, value)
    assert problems(row) == {}
    type(row)._base_manager.filter(pk=row.pk).update(**changes)
