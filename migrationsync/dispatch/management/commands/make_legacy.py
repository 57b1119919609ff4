"""`manage.py make_legacy`: a legacy database to try a migration on."""

from __future__ import annotations

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from migrationsync.dispatch.legacy.making import IsTarget, NotOurs, make_legacy
from migrationsync.dispatch.legacy.tables import TABLES, LegacyTable

# 1.2 billion rows: more is a slip of the finger.
MOST = 1_000


class Command(BaseCommand):
    help = (
        "Make the dispatch office's legacy database: six tables, 1.2 million rows at scale 1, "
        "with all that makes migrations hard. The same seed makes the same rows."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scale", type=float, default=1.0, help="1: about 1.2 million rows.")
        parser.add_argument("--seed", type=int, default=1, help="Another seed, other rows.")
        parser.add_argument("--database", default="legacy", metavar="ALIAS", help="Where to.")
        parser.add_argument(
            "--replace", action="store_true", help="Replace tables that weren't made here, too."
        )

    def handle(
        self, *, scale: float, seed: int, database: str, replace: bool, **options: Any
    ) -> None:
        if database not in connections:
            raise CommandError(
                f"There is no database “{database}”: set LEGACY_DATABASE_URL, for example to "
                "sqlite:///legacy.sqlite3, or name another with --database."
            )
        # Of NaN, neither is true.
        if not 0 < scale <= MOST:
            raise CommandError(f"--scale must be above 0, and {MOST:,} at most.")
        # rich writes to the stream itself: self.stdout ends every piece with a line feed.
        console = Console(file=options.get("stdout") or sys.stdout, highlight=False, markup=False)
        began = time.monotonic()
        with Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            disable=not console.is_terminal,
        ) as progress:
            bars = {
                table.name: progress.add_task(table.name, total=table.rows(scale))
                for table in TABLES
            }

            def told(table: LegacyTable, done: int, total: int) -> None:
                progress.update(bars[table.name], completed=done)
                if done == total and not console.is_terminal:
                    console.print(f"{table.name:<16}  {done:>9,} rows")

            try:
                made = make_legacy(database, scale=scale, seed=seed, replace=replace, told=told)
            except IsTarget as error:
                raise CommandError(
                    f"{error} Set LEGACY_DATABASE_URL, for example to sqlite:///legacy.sqlite3, "
                    "and leave --database out, or name another."
                ) from error
            except NotOurs as error:
                raise CommandError(f"{error} Give --replace to drop them.") from error
        seconds = time.monotonic() - began
        total = sum(made.values())
        self.stdout.write(
            f"Made {total:,} rows in {seconds:.1f} s, {total / seconds:,.0f} a second."
        )
