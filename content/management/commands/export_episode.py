"""`manage.py export_episode ID`: an episode becomes a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from content.documents.exporting import export_episode
from content.models import Episode


class Command(BaseCommand):
    help = "Export an episode as a document (JSON), to standard output or to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, help="The episode's id.")
        parser.add_argument("--output", type=Path, metavar="PATH", help="The file to write.")

    def handle(self, *, id: int, output: Path | None, **options: Any) -> None:
        try:
            episode = Episode.objects.visible().get(pk=id)
        except Episode.DoesNotExist as error:
            raise CommandError(f"There is no episode {id}.") from error
        if output is None:
            for piece in export_episode(episode):
                self.stdout.write(piece, ending="")
            return
        try:
            with output.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(export_episode(episode))
        except OSError as error:
            raise CommandError(f"Can't write {output}: {error.strerror}.") from error
