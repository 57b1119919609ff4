"""`manage.py postgres`: look at the embedded PostgreSQL, stop it, or open a shell in it."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import embedded_postgres


class Command(BaseCommand):
    help = (
        "The embedded PostgreSQL that runs when DATABASE_URL is empty. "
        "It starts by itself and stops with its last user."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("status", help="whether it runs; exit code 3 when it doesn't")
        actions.add_parser("url", help="start it if needed and print its URL")
        actions.add_parser("stop", help="stop it, whoever uses it")
        shell = actions.add_parser("shell", help="start it if needed and open psql")
        shell.add_argument("arguments", nargs="*", help="for psql, after --")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            match action:
                case "status":
                    self._status()
                case "url":
                    self.stdout.write(embedded_postgres.ensure_running())
                case "stop":
                    embedded_postgres.stop()
                    self.stdout.write("stopped")
                case "shell":
                    self._shell(options["arguments"])
        except embedded_postgres.EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error

    def _status(self) -> None:
        if not embedded_postgres.is_running():
            # What `pg_ctl status` answers for a server that isn't running.
            raise CommandError("stopped", returncode=3)
        self.stdout.write("running")

    def _shell(self, arguments: list[str]) -> None:
        url = embedded_postgres.ensure_running()
        # Not exec: this process has to stay a user of the server. Ctrl-C is psql's.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            done = subprocess.run([embedded_postgres.binaries() / "psql", url, *arguments])
        finally:
            signal.signal(signal.SIGINT, before)
        if done.returncode != 0:
            raise CommandError(f"psql ended with {done.returncode}", returncode=done.returncode)
