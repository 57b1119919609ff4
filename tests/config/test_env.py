from __future__ import annotations

import re

import environ
import pytest

from config.env import ROOT, VARIABLES

# A variable's line as an operator would uncomment it, and what is said above it.
ENTRY = re.compile(r"^(?P<why># .+)\n# (?P<name>[A-Z_]+)=(?P<default>.*)$", re.MULTILINE)


def documented() -> dict[str, re.Match[str]]:
    text = (ROOT / ".env.example").read_text()
    return {entry["name"]: entry for entry in ENTRY.finditer(text)}


def test_example_documents_every_variable_in_order_and_no_other() -> None:
    assert list(documented()) == list(VARIABLES)


def test_example_sets_nothing_when_it_is_copied_as_it_is() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("name", VARIABLES)
def test_example_says_the_default(name: str) -> None:
    cast, default = VARIABLES[name]
    written = documented()[name]["default"]
    assert environ.Env.parse_value(written, cast) == default


@pytest.mark.parametrize("name", VARIABLES)
def test_example_says_why_above_each_variable(name: str) -> None:
    why = documented()[name]["why"]
    assert not re.match(r"# ([A-Z_]+=|---)", why)
