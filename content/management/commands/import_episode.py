"""`manage.py import_episode PATH`: a document's file becomes an episode."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from content.documents.parsing import parse_document
from content.exceptions import InvalidDocument
from content.models import Block, Item, Part
from content.services import import_episode


class Command(BaseCommand):
    help = (
        "Import an episode document (JSON). A document with mistakes is refused as a whole: "
        "the mistakes are listed, one a line, and the exit code is 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="The document's file, or - for standard input.")
        parser.add_argument("--owner", metavar="USERNAME", help="Who will own the episode.")

    def handle(self, *, path: str, owner: str | None, **options: Any) -> None:
        users = get_user_model()
        user = None
        if owner is not None:
            try:
                user = users.objects.get_by_natural_key(owner)
            except users.DoesNotExist as error:
                raise CommandError(f"There is no user {owner!r}.") from error
        try:
            source = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        except OSError as error:
            raise CommandError(f"Can't read {path}: {error.strerror}.") from error
        try:
            episode = import_episode(document=parse_document(source), owner=user)
        except InvalidDocument as error:
            lines = [str(mistake) for mistake in error.mistakes]
            if not error.is_complete:
                lines.append(f"Only the first {len(error.mistakes)} mistakes are listed.")
            raise CommandError("\n".join(lines), returncode=1) from error
        counts = (
            f"{Part.objects.filter(episode=episode).count()} parts, "
            f"{Item.objects.filter(part__episode=episode).count()} items, "
            f"{Block.objects.filter(item__part__episode=episode).count()} blocks"
        )
        self.stdout.write(f"Imported episode {episode.pk}: {counts}.")
