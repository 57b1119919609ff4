"""`manage.py demo_generate`: an episode's audio, made twice, with real processes.

Owns the story that is told: the second time everything is made anew, and what is said comes
from the cache. The API starts both, the websocket shows them.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from rich.table import Table

from config.management.commands.serve import PORT
from config.stack import encore
from config.stack.accounts import Login
from config.stack.demos import Demonstration, read_document, with_log
from generation.limits import usd
from generation.models import GenerationJob, StageName
from generation.terminal import UNITS, Result, result, show_result


class Command(Demonstration):
    help = (
        "Start web server and workers, load an episode, have its audio generated through the API, "
        "follow it over the websocket; then once more, with the sounds from the cache. Exit code "
        "0: the audio is there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", help="An episode document to load. Default: a sample.")

    def handle(self, *, file: str | None, **options: Any) -> None:
        self.document = read_document(file)
        self.results: list[Result] = []
        self.present(options)

    def perform(self) -> None:
        episode_id = self.load(self.document)
        self._generate(episode_id, {})
        self.console.print("\nOnce more, all of it anew; what was said before is in the cache.")
        self._generate(episode_id, {"from_stage": StageName.OUTLINE})

    def _generate(self, episode_id: int, options: dict[str, Any]) -> None:
        """Raises CommandError where it isn't completed."""
        accepted = self.client.post(
            f"/api/v1/episodes/{episode_id}/generation",
            json.dumps(options).encode(),
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        self.under_way = f"Generation {accepted['id']}"
        self.console.print(f"{self.under_way}: accepted, watched over the websocket.")
        self.watch(GenerationJob.kind, accepted["id"], units=UNITS)
        self.generation = GenerationJob.objects.get(pk=accepted["id"])
        if not self.generation.has_status("COMPLETED"):
            reason = self.generation.error_message
            raise CommandError(
                with_log(f"{self.under_way} is {self.generation.status}. {reason}".rstrip())
            )
        self.under_way = ""
        self.results.append(result(self.generation))
        show_result(self.stream, self.results[-1])

    def conclude(self, logins: list[Login]) -> None:
        first, second = self.results
        self.console.print(_table(first, second))
        page = reverse("admin:generation_generationjob_change", args=[self.generation.pk])
        self.console.print(
            f"\nTo hear it: make serve, then http://{encore.HOST}:{PORT}{page}\n"
            f"Log in as {' or '.join(map(str, logins))}."
        )


def _table(first: Result, second: Result) -> Table:
    table = Table("What it took")
    for heading in ("First", "Again", "Saved"):
        table.add_column(heading, justify="right")
    saved = first.seconds - second.seconds
    table.add_row("Time", _s(first.seconds), _s(second.seconds), _s(saved))
    made_first, made_again = (each.segments - each.cache_hits for each in (first, second))
    table.add_row("Segments made", *_numbers(made_first, made_again))
    table.add_row("Characters paid for", *_numbers(first.chars_paid, second.chars_paid))
    table.add_row("Cost", usd(first.cost), usd(second.cost), usd(first.cost - second.cost))
    return table


def _numbers(first: int, second: int) -> list[str]:
    return [f"{each:,}" for each in (first, second, first - second)]


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s"
