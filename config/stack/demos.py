"""What the demos have in common: real processes around a story, and a clear end to both.

Owns starting and stopping, the log, loading a document, and what an interruption or an error
looks like. The story is the subclass's; it reaches Encore as an integration does.
"""

from __future__ import annotations

import contextlib
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import django.db
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from config.env import ROOT
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
from operations.terminal import ProgressView
from operations.watching import duration

SAMPLE = ROOT / "content" / "samples" / "welcome.json"
LOG = ROOT / ".local" / "demo.log"


class Demonstration(BaseCommand):
    """Base: `handle` reads the arguments and calls `present`."""

    # Who speaks to the API.
    username = accounts.EDITOR
    # What goes on after an interruption, like “Duplication 7”.
    under_way = ""

    @abstractmethod
    def perform(self) -> None:
        """The story, while web server and workers run: `client` speaks to them."""

    @abstractmethod
    def conclude(self, logins: list[Login]) -> None:
        """What came of it, once they have ended. Raises CommandError where that isn't good."""

    def present(self, options: Mapping[str, Any]) -> None:
        self.stream = options.get("stdout") or sys.stdout
        # rich writes to the stream itself: self.stdout ends every piece with a line feed.
        self.console = Console(file=self.stream, highlight=False, markup=False, soft_wrap=True)
        try:
            with raising_interrupted():
                self.conclude(self._perform_with_processes())
        except Interrupted as interrupted:
            left = "Stopped; everything that was started has ended."
            if self.under_way:
                left += f" {self.under_way} goes on with the next `make serve`."
            self.stderr.write(left)
            sys.exit(interrupted.exit_status)
        except (ImproperlyConfigured, django.db.Error) as error:
            raise CommandError(str(error)) from error
        except (ChildFailed, RequestRefused, OSError) as error:
            raise CommandError(with_log(str(error))) from error

    def _perform_with_processes(self) -> list[Login]:
        started_at = time.monotonic()
        self.console.print("Preparing the database …")
        logins = encore.prepare_database()
        with _log() as sink, Children(sink) as self.children:
            self.console.print("Starting web server and workers …")
            address = encore.start(self.children, encore.listen(0))
            self.console.print(f"Ready at {address} after {since(started_at)}.")
            self.client = Client(address, token=accounts.token_of(self.username))
            self.perform()
        return logins

    def load(self, document: bytes) -> int:
        """Import it for the editor; answers the episode's id."""
        began_at = time.monotonic()
        if len(document) <= MAX_UPLOAD_BYTES:
            episode_id: int = self.client.post("/api/v1/episodes", document)["id"]
            how = "imported through the API"
        else:
            episode_id = import_episode(document=parse_document(document), owner=editor()).pk
            how = "imported, too large for the API"
        self.console.print(f"Episode {episode_id}: {how} in {since(began_at)}.")
        return episode_id

    def watch(
        self, kind: str, operation_id: int | str, *, units: Mapping[str, str] | None = None
    ) -> None:
        """Show it to its end, over the websocket."""
        with ProgressView(self.stream, units=units) as view:
            self.client.watch(kind, operation_id, view, check=self.children.check)


def read_document(file: str | None) -> bytes:
    """The sample's, for None. Raises CommandError for what can't be loaded, before anything is
    started."""
    path = SAMPLE if file is None else Path(file)
    try:
        document = path.read_bytes()
        validate_document(parse_document(document))
    except OSError as error:
        raise CommandError(f"Can't read FILE {path}: {error.strerror}.") from error
    except InvalidDocument as error:
        raise CommandError(f"FILE {path} can't be imported: {_mistakes(error)}") from error
    return document


def editor() -> User:
    return get_user_model().objects.get(username=accounts.EDITOR)


def since(moment: float) -> str:
    return duration(time.monotonic() - moment)


def with_log(message: str) -> str:
    return f"{message}\nThe log of web server and workers: {LOG}"


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
