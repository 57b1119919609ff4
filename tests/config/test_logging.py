from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from config.logging import JsonFormatter, LineFormatter, logging_config


def record(message: str = "Chunk %d committed", *arguments: Any, **attributes: Any) -> Any:
    made = logging.LogRecord("duplication", logging.INFO, __file__, 1, message, arguments, None)
    made.created = 1_790_000_000.25
    vars(made).update(attributes)
    return made


def with_exception() -> Any:
    try:
        raise ValueError("broken")
    except ValueError:
        return record("It broke", exc_info=sys.exc_info())


def test_line_has_time_level_channel_message_and_fields() -> None:
    line = LineFormatter().format(record("Chunk %d committed", 3, fields={"rows": 20, "lane": 1}))
    assert line == "14:13:20 INFO duplication Chunk 3 committed rows=20 lane=1"


def test_line_with_exception_ends_with_its_traceback() -> None:
    first, *rest = LineFormatter().format(with_exception()).splitlines()
    assert first.endswith("It broke")
    assert rest[-1] == "ValueError: broken"


def test_json_is_one_line_with_fields_beside_the_standard_ones() -> None:
    line = JsonFormatter().format(record("Two\nlines", fields={"rows": 20, "why": ValueError("x")}))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-09-21T14:13:20.250000+00:00",
        "level": "INFO",
        "channel": "duplication",
        "message": "Two\nlines",
        "rows": 20,
        "why": "x",
    }


def test_json_field_named_as_a_standard_one_does_not_replace_it() -> None:
    entry = json.loads(JsonFormatter().format(record("Said", fields={"message": "other"})))
    assert entry["message"] == "Said"


def test_json_with_exception_has_its_traceback() -> None:
    assert "ValueError: broken" in json.loads(JsonFormatter().format(with_exception()))["exception"]


def test_config_with_unknown_style_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="'xml': use one of line, json"):
        logging_config(level="INFO", style="xml")


@pytest.mark.parametrize(("style", "formatter"), [("line", LineFormatter), ("json", JsonFormatter)])
def test_config_with_a_style_uses_its_formatter_at_the_root(style: str, formatter: type) -> None:
    config = logging_config(level="WARNING", style=style)
    assert config["formatters"]["default"]["()"] is formatter
    assert config["root"] == {"handlers": ["stderr"], "level": "WARNING"}
