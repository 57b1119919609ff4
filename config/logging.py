"""How log records look: one line each, for a person or as JSON.

Structured channels (`duplication`, …) attach their fields with `extra={"fields": {…}}`.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import Any


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


class LineFormatter(logging.Formatter):
    """`12:04:31 INFO duplication Chunk committed duplication_id=4 rows=20000`"""

    def format(self, record: logging.LogRecord) -> str:
        time = dt.datetime.fromtimestamp(record.created, tz=dt.UTC).strftime("%H:%M:%S")
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        line = f"{time} {record.levelname} {record.name} {record.getMessage()}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a record's fields stand beside the standard ones."""

    def format(self, record: logging.LogRecord) -> str:
        standard = {
            "time": dt.datetime.fromtimestamp(record.created, tz=dt.UTC).isoformat(),
            "level": record.levelname,
            "channel": record.name,
            "message": record.getMessage(),
        }
        # First and last: in this order, and not replaced by a field of the same name.
        entry: dict[str, Any] = {**standard, **_fields(record), **standard}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """`style` is `line` or `json`."""
    formatters = {"line": LineFormatter, "json": JsonFormatter}
    if style not in formatters:
        raise ValueError(f"LOG_FORMAT is {style!r}: use one of {', '.join(formatters)}.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"default": {"()": formatters[style]}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "default"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
            "daphne": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
        },
    }
