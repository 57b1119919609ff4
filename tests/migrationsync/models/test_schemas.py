from __future__ import annotations

import uuid

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from migrationsync import models
from migrationsync.models import schemas
from migrationsync.models.schemas import MatchesSchema

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NO_IDS = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False).filter(lambda number: number % 1)
    | st.lists(st.integers(), max_size=2)
)
NAMES = st.text(min_size=1, max_size=5)


def problems(schema, value):
    try:
        MatchesSchema(schema)(value)
    except ValidationError as error:
        return error.messages
    return []


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        (schemas.SCHEDULE, {"cron": "* *"}, ["cron: “* *” is too short"]),
        (
            schemas.SCHEDULE,
            {"cron": "* * * * *", "interval_minutes": 5},
            ["Takes one of cron, interval_minutes, not both"],
        ),
        (
            schemas.SCHEDULE,
            {"interval_minutes": 0},
            ["interval_minutes: 0 is too small: 1 at least"],
        ),
        (
            schemas.SCHEDULE,
            {"interval_minutes": "5"},
            ["interval_minutes: must be a whole number"],
        ),
        (schemas.ENTITIES, ["a", "a"], ["Names something twice"]),
        (
            schemas.ENTITIES,
            ["a", 1, ""],
            ["[1]: must be a text", "[2]: is empty"],
        ),
        (
            schemas.LABELS,
            {"a": {"b": 1}},
            ["a: must be a text or a number or true or false or null"],
        ),
        (schemas.COUNTS, {"read": -1}, ["read: -1 is too small: 0 at least"]),
        (
            schemas.CRITERIA,
            {"compared_by": "checksum", "kind": "extra", "sides": ["target", "middle"]},
            ["sides[1]: “middle” is none of source, target"],
        ),
        (schemas.CRITERIA, {"kind": "extra"}, ["Lacks compared_by"]),
        (
            schemas.DISCREPANCIES,
            [{"what": "missing", "count": 1}, {"what": "", "count": 0}],
            ["[1].count: 0 is too small: 1 at least", "[1].what: is empty"],
        ),
        (schemas.OBJECT, [], ["Must be an object"]),
        (schemas.ENTITIES, [], ["Is empty: name at least one"]),
        (schemas.SCHEDULE, {"every": 5}, ["Knows no every: there are cron, interval_minutes"]),
        (schemas.SCHEDULE, {"cron": "0" * 101}, ["cron: is longer than 100 characters"]),
        (
            schemas.LEGACY_IDS,
            [1.5],
            ["[0]: 1.5 is not valid under any of the given schemas"],
        ),
    ],
    ids=lambda value: "",
)
def test_messages_name_the_place_of_everything_wrong(schema, value, told) -> None:
    assert problems(schema, value) == told


@pytest.mark.parametrize(
    ("model", "field", "schema"),
    [
        (models.SynchronizationJob, "schedule_config", schemas.SCHEDULE),
        (models.SynchronizationJob, "entities_to_sync", schemas.ENTITIES),
        (models.SynchronizationJob, "metadata", schemas.LABELS),
        (models.SynchronizationRun, "entities", schemas.ENTITIES),
        (models.SynchronizationRun, "counts", schemas.COUNTS),
        (models.DataDifferential, "legacy_ids", schemas.LEGACY_IDS),
        (models.DataDifferential, "comparison_criteria", schemas.CRITERIA),
        (models.DataDifferential, "metadata", schemas.OBJECT),
        (models.MigrationCheckpoint, "metadata", schemas.OBJECT),
        (models.MigrationValidationReport, "discrepancy_details", schemas.DISCREPANCIES),
        (models.MigrationValidationReport, "validation_criteria", schemas.OBJECT),
        (models.LegacyIdMapping, "metadata", schemas.OBJECT),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_fields_are_validated_by_their_schema(model, field, schema) -> None:
    assert MatchesSchema(schema) in model._meta.get_field(field).validators


@given(st.dictionaries(st.text(max_size=5), SCALARS, max_size=5))
def test_labels_are_flat(value) -> None:
    assert problems(schemas.LABELS, value) == []


def test_labels_are_at_most_fifty() -> None:
    assert problems(schemas.LABELS, {str(number): 1 for number in range(50)}) == []
    assert problems(schemas.LABELS, {str(number): 1 for number in range(51)}) != []


@given(st.lists(st.integers() | st.uuids().map(str), max_size=6))
def test_ids_are_integers_or_uuids(value) -> None:
    assert problems(schemas.LEGACY_IDS, value) == []


@given(NO_IDS)
def test_ids_are_nothing_else(value) -> None:
    assert problems(schemas.LEGACY_IDS, [1, value]) != []


@given(st.lists(NAMES, unique=True, min_size=1, max_size=5))
def test_entities_are_names_each_once(value) -> None:
    assert problems(schemas.ENTITIES, value) == []
    assert problems(schemas.ENTITIES, [*value, value[0]]) != []


@given(st.integers())
def test_interval_is_within_what_the_scheduler_takes(minutes) -> None:
    is_allowed = 1 <= minutes <= 32_767
    assert (problems(schemas.SCHEDULE, {"interval_minutes": minutes}) == []) is is_allowed


@given(JSON)
def test_any_value_is_judged_without_an_error(value) -> None:
    for schema in (
        schemas.LABELS,
        schemas.SCHEDULE,
        schemas.ENTITIES,
        schemas.COUNTS,
        schemas.LEGACY_IDS,
        schemas.CRITERIA,
        schemas.DISCREPANCIES,
        schemas.OBJECT,
    ):
        for told in problems(schema, value):
            assert told


def test_validators_are_the_same_where_their_schemas_are() -> None:
    assert MatchesSchema(schemas.OBJECT) == MatchesSchema({"type": "object"})
    assert MatchesSchema(schemas.OBJECT) != MatchesSchema(schemas.COUNTS)
    assert MatchesSchema(schemas.OBJECT) != schemas.OBJECT


def test_id_of_a_row_that_has_no_legacy_one_is_a_uuid() -> None:
    assert problems(schemas.LEGACY_IDS, [str(uuid.uuid4())]) == []
