"""`manage.py remove_copy ID`: take a duplication's copy away, and wait for it if wanted."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from duplication.exceptions import CannotRemove
from duplication.models import Duplication, Removal
from duplication.removal.services import start_removal
from operations.following import follow_in_terminal


class Command(BaseCommand):
    help = (
        "Take a copy away: undo a completed duplication, or clean up after one that failed or was "
        "cancelled. Workers do it; an unfinished removal is taken instead of a second one. With "
        "--wait the exit code is 0 only when nothing of the copy is left."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, help="The duplication's id.")
        parser.add_argument(
            "--even-if-changed",
            action="store_true",
            help="Also where the copy was changed or duplicated since: the changes are lost.",
        )
        parser.add_argument("--wait", action="store_true", help="Show its progress to its end.")
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object; progress to stderr."
        )

    def handle(
        self, *, id: int, even_if_changed: bool, wait: bool, json: bool, **options: Any
    ) -> None:
        duplication = Duplication.objects.filter(pk=id).first()
        if duplication is None:
            raise CommandError(f"There is no duplication {id}.")
        try:
            removal, created = start_removal(
                duplication=duplication, requested_by=None, even_if_changed=even_if_changed
            )
        except CannotRemove as error:
            way_on = str(error).replace("even_if_changed", "--even-if-changed")
            raise CommandError(way_on) from error
        started = "Started" if created else "Under way already:"
        if not json:
            self.stdout.write(f"{started} removal {removal.pk} of the copy of duplication {id}.")
        if wait:
            follow_in_terminal(removal, options, to_stderr=json)
        if json:
            self.stdout.write(_as_json(removal, created=created))
        if wait:
            self._tell_end(removal, quiet=json)

    def _tell_end(self, removal: Removal, *, quiet: bool) -> None:
        if not removal.has_status("COMPLETED"):
            raise CommandError(
                f"Removal {removal.pk} is {removal.status}. {removal.error_message}".rstrip()
            )
        if not quiet:
            self.stdout.write(self.style.SUCCESS("Nothing of the copy is left."))


def _as_json(removal: Removal, *, created: bool) -> str:
    return json.dumps(
        {
            "id": removal.pk,
            "created": created,
            "duplication": removal.duplication_id,
            "even_if_changed": removal.even_if_changed,
            "status": removal.status,
            "error_code": removal.error_code,
            "error_message": removal.error_message,
        }
    )
