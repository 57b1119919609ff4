"""`manage.py sync run|status|diff|resolve|validate`: synchronizations from the terminal."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from migrationsync.management import verbs
from migrationsync.management.arguments import add_arguments
from migrationsync.management.output import Output

VERBS: dict[str, Callable[..., int]] = {
    "run": verbs.run,
    "status": verbs.status,
    "diff": verbs.diff,
    "resolve": verbs.resolve,
    "validate": verbs.validate,
}
# To who asks these, 1 is an answer: what went wrong mustn't look like one.
ANSWERING = ("diff", "resolve", "validate")


class Command(BaseCommand):
    help = (
        "Synchronizations from the terminal. Exit codes: 0 done, and nothing wrong; 1 the run "
        "failed, there are differences (diff), not all was resolved (resolve), something didn't "
        "pass (validate); 2 asked wrongly; 3 couldn't be finished, or stopped to ask; 130 "
        "interrupted: it goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        is_answering = options["verb"] in ANSWERING
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            if is_answering and error.returncode == 1:
                error.returncode = verbs.NOT_FINISHED
            raise
        except Exception as error:
            if not is_answering:
                raise
            traceback.print_exc(file=options.get("stderr") or sys.stderr)
            raise CommandError(
                f"It couldn't be finished: {error}", returncode=verbs.NOT_FINISHED
            ) from error

    def handle(self, *, verb: str, **options: Any) -> None:
        if code := VERBS[verb](Output(self, options), **options):
            sys.exit(code)
