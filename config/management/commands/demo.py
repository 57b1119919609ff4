"""`manage.py demo`: the whole way of a duplication, with real processes, in a minute.

Owns the story that is told. The processes are config.stack's, the work is Encore's own,
reached as an integration reaches it: the API starts it, the websocket shows it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import django.db
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from rich.console import Console
from rich.table import Table

from config.env import ROOT
from config.management.commands.serve import PORT
from config.stack import accounts, encore
from config.stack.accounts import Login
from config.stack.children import ChildFailed, Children, Sink
from config.stack.client import Client, RequestRefused
from config.stack.signals import Interrupted, raising_interrupted
from content.documents.format import MAX_UPLOAD_BYTES
from content.documents.parsing import parse_document
from content.documents.validation import validate_document
from content.exceptions import InvalidDocument
from content.services import import_episode
from content.synthetic import make_episode
from duplication.models import Duplication
from operations.terminal import ProgressView
from operations.watching import duration

SAMPLE = ROOT / "content" / "samples" / "welcome.json"
LOG = ROOT / ".local" / "demo.log"
NUMBERS = ("parts", "items", "blocks")
DEFAULT_NUMBER = 10


class Subject(NamedTuple):
    """What will be duplicated: a document, or an episode to be made of these numbers."""

    document: bytes
    numbers: dict[str, int]


class Command(BaseCommand):
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
        stream = options.get("stdout") or sys.stdout
        # rich writes to the stream itself: self.stdout ends every piece with a line feed.
        self.console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        self.stream = stream
        self.duplication_id: int | None = None
        subject = _subject(file, {name: options[name] for name in NUMBERS})
        try:
            with raising_interrupted():
                self._run(subject)
        except Interrupted as interrupted:
            left = "Stopped; everything that was started has ended."
            if self.duplication_id:
                left += f" Duplication {self.duplication_id} goes on with the next `make serve`."
            self.stderr.write(left)
            sys.exit(interrupted.exit_status)
        except (ImproperlyConfigured, django.db.Error) as error:
            raise CommandError(str(error)) from error
        except (ChildFailed, RequestRefused, OSError) as error:
            raise CommandError(f"{error}\nThe log of web server and workers: {LOG}") from error

    def _run(self, subject: Subject) -> None:
        started_at = time.monotonic()
        self.console.print("Preparing the database …")
        logins = encore.prepare_database()
        with _log() as sink, Children(sink) as children:
            self.console.print("Starting web server and workers …")
            address = encore.start(children, encore.listen(0))
            self.console.print(f"Ready at {address} after {_since(started_at)}.")
            client = Client(address, token=accounts.editors_token())
            episode_id = self._load(client, subject)
            duplication = self._duplicate(client, episode_id, children)
        self._tell(duplication, logins)

    def _load(self, client: Client, subject: Subject) -> int:
        began_at = time.monotonic()
        editor = get_user_model().objects.get(username=accounts.EDITOR)
        if subject.numbers:
            parts, items, blocks = (subject.numbers[name] for name in NUMBERS)
            episode = make_episode(parts=parts, items=items, blocks=blocks, owner=editor)
            episode_id, how = episode.pk, "made"
        elif len(subject.document) <= MAX_UPLOAD_BYTES:
            episode_id = client.post("/api/v1/episodes", subject.document)["id"]
            how = "imported through the API"
        else:
            document = parse_document(subject.document)
            episode_id = import_episode(document=document, owner=editor).pk
            how = "imported, too large for the API"
        self.console.print(f"Episode {episode_id}: {how} in {_since(began_at)}.")
        return episode_id

    def _duplicate(self, client: Client, episode_id: int, children: Children) -> dict[str, Any]:
        accepted = client.post(
            "/api/v1/duplications",
            json.dumps({"episode": episode_id}).encode(),
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        self.duplication_id = accepted["id"]
        self.console.print(f"Duplication {accepted['id']}: accepted, watched over the websocket.")
        with ProgressView(self.stream) as view:
            client.watch(Duplication.kind, accepted["id"], view, check=children.check)
        finished: dict[str, Any] = client.get(f"/api/v1/duplications/{accepted['id']}")
        return finished

    def _tell(self, duplication: dict[str, Any], logins: list[Login]) -> None:
        report = duplication["report"]
        if report:
            self.console.print(_table(report["levels"]))
        if duplication["status"] != Duplication.Status.COMPLETED or not report.get("verified"):
            raise CommandError(
                f"Duplication {duplication['id']} is {duplication['status']}: "
                f"{duplication['error_message'] or 'its copy is not verified.'}\n"
                f"The log of web server and workers: {LOG}"
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
    path = SAMPLE if file is None else Path(file)
    try:
        document = path.read_bytes()
        validate_document(parse_document(document))
    except OSError as error:
        raise CommandError(f"Can't read FILE {path}: {error.strerror}.") from error
    except InvalidDocument as error:
        raise CommandError(f"FILE {path} can't be imported: {_mistakes(error)}") from error
    return Subject(document, {})


def _number(name: str, value: str | None) -> int:
    if value is None:
        return DEFAULT_NUMBER
    if not value.isdecimal() or int(value) == 0:
        raise CommandError(f"{name.upper()} must be a whole number above 0, not {value!r}.")
    return int(value)


def _mistakes(error: InvalidDocument) -> str:
    first, others = error.mistakes[0], len(error.mistakes) - 1
    if not others:
        return str(first)
    return f"{first} ({others} more; manage.py import_episode lists them)"


@contextlib.contextmanager
def _log() -> Iterator[Sink]:
    """What the processes write, in a file that the next demo replaces."""
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w", encoding="utf-8") as file:

        def sink(name: str, line: str) -> None:
            file.write(f"{name:<8}| {line}\n")
            file.flush()

        yield sink


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


def _since(moment: float) -> str:
    return duration(time.monotonic() - moment)
