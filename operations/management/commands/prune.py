"""`manage.py prune`: prune now what the nightly schedule would."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from operations import retention


class Command(BaseCommand):
    help = (
        "Prune what is older, or more, than the settings say (docs/retention.md), in small "
        "commits. The workers do it each night; this does it now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count what is due.")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        found = retention.due() if dry_run else retention.prune().rows
        for name, rows in found.items():
            self.stdout.write(f"{name}: {rows:,} {'due' if dry_run else 'pruned'}")
        if not found:
            self.stdout.write("Everything is kept for ever: no setting for it is above 0.")
