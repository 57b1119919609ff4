"""Where a command's words go: to people, or to a script that reads JSON."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from operations.following import progress_stream


class Output:
    """With `as_json` standard output has the one object and nothing else."""

    def __init__(self, command: BaseCommand, options: dict[str, Any]) -> None:
        self._command = command
        self.as_json: bool = options["as_json"]
        self.progress = progress_stream(options, to_stderr=self.as_json)

    def say(self, *lines: str) -> None:
        if not self.as_json:
            for line in lines:
                self._command.stdout.write(line)

    def cheer(self, line: str) -> None:
        self.say(self._command.style.SUCCESS(line))

    def tell(self, *parts: dict[str, Any]) -> None:
        """The object, made of all parts."""
        if self.as_json:
            told = {name: value for part in parts for name, value in part.items()}
            self._command.stdout.write(json.dumps(told))
