"""How the OpenAPI document tells of errors: one component, and every operation answers with it."""

from __future__ import annotations

from typing import Any

from config.api.problems import PROBLEM_TYPE

_MISTAKE_SCHEMA = {
    "type": "object",
    "properties": {
        "pointer": {"type": "string", "description": "JSON pointer to the place in the request."},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
    "required": ["pointer", "detail", "code"],
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Problem details, RFC 9457.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For a person: what is wrong, what to do."},
        "code": {"type": "string", "description": "For a program: which problem it is."},
        "errors": {
            "type": "array",
            "description": "For invalid input: each mistake.",
            "items": _MISTAKE_SCHEMA,
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}


def document_problems(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """drf-spectacular's postprocessing hook."""
    components = result["components"]
    components.setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {
        "Problem": {"description": "Any other error.", "content": content},
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            for status, response in responses.items():
                if status >= "400":
                    response["content"] = content
            responses["default"] = {"$ref": "#/components/responses/Problem"}
    return result
