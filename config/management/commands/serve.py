"""`manage.py serve`: web server and workers in the foreground, for development."""

from __future__ import annotations

import threading
from typing import Any

import django.db
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from config.stack import encore
from config.stack.children import ChildFailed, Children
from config.stack.signals import Interrupted, raising_interrupted

PORT = 8000


class Command(BaseCommand):
    help = (
        "Run web server and workers here until Ctrl-C, with their logs. Applies the migrations "
        "and creates the demo log-ins first. For development."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port",
            default=str(PORT),
            help="The web server's port, or the next free one. Default: %(default)s.",
        )

    def handle(self, *, port: str, **options: Any) -> None:
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise CommandError(f"PORT must be a number from 1 to 65535, not {port!r}.")
        try:
            with raising_interrupted():
                self._serve(int(port))
        except Interrupted:
            self.stdout.write("Stopped.")
        except (ChildFailed, ImproperlyConfigured, encore.NoFreePort, django.db.Error) as error:
            raise CommandError(str(error)) from error

    def _serve(self, port: int) -> None:
        self.stdout.write("Preparing the database …")
        self.stdout.flush()
        logins = encore.prepare_database()
        listener = encore.listen(port)
        if (found := listener.getsockname()[1]) != port:
            self.stdout.write(f"Port {port} is taken: using {found}.")
        writing = threading.Lock()

        def sink(name: str, line: str) -> None:
            with writing:
                self.stdout.write(f"{name:<8}| {line}")
                self.stdout.flush()

        with Children(sink) as children:
            address = encore.start(children, listener)
            with writing:
                self.stdout.write(f"Admin    {address}{reverse('admin:index')}")
                self.stdout.write(f"API      {address}/api/v1/")
                for login in logins:
                    self.stdout.write(f"Log in   {login}")
                self.stdout.write("Ctrl-C stops everything.")
                self.stdout.flush()
            children.wait()
