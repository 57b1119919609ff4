"""`manage.py demo`: the whole way of a duplication, with real processes, in a minute.

Owns the story that is told. The processes are config.stack's, the work is Encore's own,
reached as an integration reaches it: the API starts it, the websocket shows it.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from rich.table import Table

from config.management.commands.serve import PORT
from config.stack import encore
from config.stack.accounts import Login
from config.stack.demos import Demonstration, editor, read_document, since, with_log
from content.synthetic import make_episode
from duplication.models import Duplication
from operations.watching import duration

NUMBERS = ("parts", "items", "blocks")
DEFAULT_NUMBER = 10


class Subject(NamedTuple):
    """What will be duplicated: a document, or an episode to be made of these numbers."""

    document: bytes
    numbers: dict[str, int]


class Command(Demonstration):
    help = (
        "Start web server and workers, load an episode, duplicate it through the API, follow the "
        "copy over the websocket, and stop everything again. Exit code 0: the copy is verified."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        # The numbers are read here, not by the parser: its message is about the command's
        # line, and most people come by way of `make demo PARTS=…`.
        parser.add_argument("--file", help="An episode document to load. Default: a sample.")
        for name in NUMBERS:
            parser.add_argument(f"--{name}", help="Make an episode of so many instead.")

    def handle(self, *, file: str | None, **options: Any) -> None:
        self.subject = _subject(file, {name: options[name] for name in NUMBERS})
        self.present(options)

    def perform(self) -> None:
        episode_id = self._make() if self.subject.numbers else self.load(self.subject.document)
        accepted = self.client.post(
            "/api/v1/duplications",
            json.dumps({"episode": episode_id}).encode(),
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        self.under_way = f"Duplication {accepted['id']}"
        self.console.print(f"{self.under_way}: accepted, watched over the websocket.")
        self.watch(Duplication.kind, accepted["id"])
        self.duplication = self.client.get(f"/api/v1/duplications/{accepted['id']}")

    def _make(self) -> int:
        began_at = time.monotonic()
        parts, items, blocks = (self.subject.numbers[name] for name in NUMBERS)
        episode = make_episode(parts=parts, items=items, blocks=blocks, owner=editor())
        self.console.print(f"Episode {episode.pk}: made in {since(began_at)}.")
        return episode.pk

    def conclude(self, logins: list[Login]) -> None:
        duplication = self.duplication
        report = duplication["report"]
        if report:
            self.console.print(_table(report["levels"]))
        if duplication["status"] != Duplication.Status.COMPLETED or not report.get("verified"):
            reason = duplication["error_message"] or "its copy is not verified."
            raise CommandError(
                with_log(f"Duplication {duplication['id']} is {duplication['status']}: {reason}")
            )
        rows = sum(level["copy"] for level in report["levels"])
        copy_id = duplication["new_episode"]
        page = reverse("admin:content_episode_change", args=[copy_id])
        self.console.print(
            f"The copy, episode {copy_id}, is verified: {rows:,} rows in {_took(duplication)}."
        )
        self.console.print(
            f"\nTo look at it: make serve, then http://{encore.HOST}:{PORT}{page}\n"
            f"Log in as {' or '.join(map(str, logins))}."
        )


def _subject(file: str | None, given: dict[str, str | None]) -> Subject:
    """Raises CommandError for what can't be loaded, before anything is started."""
    if any(value is not None for value in given.values()):
        if file is not None:
            raise CommandError("Give either FILE or PARTS, ITEMS and BLOCKS, not both.")
        return Subject(b"", {name: _number(name, value) for name, value in given.items()})
    return Subject(read_document(file), {})


def _number(name: str, value: str | None) -> int:
    if value is None:
        return DEFAULT_NUMBER
    if not value.isdecimal() or int(value) == 0:
        raise CommandError(f"{name.upper()} must be a whole number above 0, not {value!r}.")
    return int(value)


def _table(levels: list[dict[str, Any]]) -> Table:
    table = Table("Level")
    for heading in ("Rows of the source", "Rows of the copy"):
        table.add_column(heading, justify="right")
    table.add_column("Verified")
    for level in levels:
        verdict = "; ".join(level["differences"]) or "yes"
        table.add_row(level["stage"], f"{level['source']:,}", f"{level['copy']:,}", verdict)
    return table


def _took(duplication: dict[str, Any]) -> str:
    started_at = dt.datetime.fromisoformat(duplication["started_at"])
    ended_at = dt.datetime.fromisoformat(duplication["ended_at"])
    return duration((ended_at - started_at).total_seconds())
