"""The committed OpenAPI document is the one the code makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from config.env import ROOT

COMMITTED = ROOT / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMMITTED.read_text())
    return document


def test_document_is_up_to_date(tmp_path: Path) -> None:
    made = tmp_path / "openapi.yaml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(made))
    assert made.read_text() == COMMITTED.read_text(), (
        "The API has changed. Run: python manage.py spectacular --validate --fail-on-warn "
        f"--file {COMMITTED.relative_to(ROOT)}"
    )


@pytest.mark.django_db
def test_document_is_served_to_anybody() -> None:
    response = Client().get("/api/v1/schema")
    assert response.status_code == 200
    assert yaml.safe_load(response.content)["info"]["title"] == "Encore"


def test_document_has_one_problem_that_every_operation_answers_with(
    committed: dict[str, Any],
) -> None:
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    assert committed["components"]["responses"]["Problem"]["content"] == {
        "application/problem+json": problem
    }
    for path, operations in committed["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            where = f"{method} {path}"
            assert responses["default"] == {"$ref": "#/components/responses/Problem"}, where
            for status, response in responses.items():
                if status >= "400" and status != "default":
                    assert response["content"] == {"application/problem+json": problem}, where


def test_document_says_how_a_duplication_is_started(committed: dict[str, Any]) -> None:
    operation = committed["paths"]["/api/v1/duplications"]["post"]
    assert {"200", "202", "400", "403", "409", "422"} <= set(operation["responses"])
    assert [each["name"] for each in operation["parameters"]] == ["Idempotency-Key"]
