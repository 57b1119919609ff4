"""What the JSON fields may hold: JSON schemas (draft 2020-12), as validators of the fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.deconstruct import deconstructible
from jsonschema import Draft202012Validator
from jsonschema import ValidationError as JsonSchemaError


@deconstructible
class MatchesSchema:
    """Refuses a value that isn't as the schema says, with the place of everything wrong."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = dict(schema)
        self._validator = Draft202012Validator(
            self.schema, format_checker=Draft202012Validator.FORMAT_CHECKER
        )

    def __call__(self, value: Any) -> None:
        errors = sorted(self._validator.iter_errors(value), key=lambda error: error.json_path)
        if errors:
            raise ValidationError([_in_words(each) for each in errors])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MatchesSchema) and self.schema == other.schema


def _in_words(error: JsonSchemaError) -> str:
    """Where it is, by its keys, and what is wrong with it, as a person would say it."""
    place = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path
    ).lstrip(".")
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "type":
            names = [wanted] if isinstance(wanted, str) else wanted
            problem = f"must be {' or '.join(_TYPES.get(each, each) for each in names)}"
        case "minLength":
            problem = f"“{value}” is too short" if value else "is empty"
        case "maxLength":
            problem = f"is longer than {wanted} characters"
        case "minimum":
            problem = f"{value} is too small: {wanted:,} at least"
        case "maximum":
            problem = f"{value} is too large: {wanted:,} at most"
        case "minItems":
            problem = "is empty: name at least one"
        case "uniqueItems":
            problem = "names something twice"
        case "enum":
            problem = f"“{value}” is none of {', '.join(map(str, wanted))}"
        case "required":
            missing = [each for each in wanted if each not in value]
            problem = f"lacks {', '.join(missing)}"
        case "additionalProperties" if wanted is False:
            known = schema.get("properties", {})
            extra = [each for each in value if each not in known]
            problem = f"knows no {', '.join(extra)}: there are {', '.join(known)}"
        case "maxProperties":
            problem = (
                f"takes one of {', '.join(value)}, not both"
                if wanted == 1
                else f"has more than {wanted:,} names"
            )
        case _:
            problem = error.message
    return f"{place}: {problem}" if place else f"{problem[:1].upper()}{problem[1:]}"


_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}
_TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}}

# A team's own labels: {"team": "billing", "ticket": 4711}.
LABELS = {
    "type": "object",
    "maxProperties": 50,
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
# Nothing, or one of the two: a cron expression in the installation's time zone, or minutes.
SCHEDULE = {
    "type": "object",
    "properties": {
        "cron": {"type": "string", "minLength": 9, "maxLength": 100},
        "interval_minutes": {"type": "integer", "minimum": 1, "maximum": 32_767},
    },
    "additionalProperties": False,
    "maxProperties": 1,
}
ENTITIES = {**_TEXTS, "minItems": 1, "uniqueItems": True}
COUNTS = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
OBJECT = {"type": "object"}
LEGACY_IDS = {
    "type": "array",
    # Of a row that is from no legacy one, its UUID.
    "items": {"anyOf": [{"type": "integer"}, {"type": "string", "format": "uuid"}]},
}
CRITERIA = {
    "type": "object",
    "properties": {
        "compared_by": {"enum": ["checksum", "timestamp"]},
        "sides": {**_TEXTS, "items": {"enum": ["source", "target"]}},
        "sees_deleted": {"type": "boolean"},
        "column": {"type": "string"},
        "columns": {
            "type": "object",
            "description": "The target's fields, each with the source's column that it is from.",
            "additionalProperties": {"type": "string"},
        },
        "since": {"type": "string"},
        "kind": {"type": "string"},
        "contested": LEGACY_IDS,
    },
    "required": ["compared_by", "kind"],
    "additionalProperties": False,
}
DISCREPANCIES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "what": {"type": "string", "minLength": 1},
            "count": {"type": "integer", "minimum": 1},
            "examples": LEGACY_IDS,
        },
        "required": ["what", "count"],
        "additionalProperties": False,
    },
}
