"""`manage.py duplicate_episode ID`: start a duplication, and wait for it if wanted."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from duplication.exceptions import CannotStart
from duplication.models import Duplication
from duplication.services import MAX_LANES, start_duplication
from operations.following import follow
from operations.terminal import ProgressView

INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Duplicate an episode. Workers make the copy; while one of the same episode is being "
        "made, that one is taken. With --wait the exit code is 0 only for a verified copy."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, help="The episode's id.")
        parser.add_argument("--title", default="", help="The copy's title; else “… (copy)”.")
        parser.add_argument(
            "--lanes", type=int, help=f"Jobs side by side on one level, 1 to {MAX_LANES}."
        )
        parser.add_argument("--wait", action="store_true", help="Show its progress to its end.")
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object; progress to stderr."
        )

    def handle(
        self,
        *,
        id: int,
        title: str,
        lanes: int | None,
        wait: bool,
        json: bool,
        **options: Any,
    ) -> None:
        limit = Duplication._meta.get_field("title").max_length or 0
        if len(title) > limit:
            raise CommandError(f"--title has {len(title)} characters: at most {limit}.")
        try:
            duplication, created = start_duplication(
                episode_id=id, requested_by=None, title=title, lanes=lanes
            )
        except CannotStart as error:
            raise CommandError(str(error)) from error
        started = "Started" if created else "Under way already:"
        if not json:
            self.stdout.write(f"{started} duplication {duplication.pk} of episode {id}.")
        if wait:
            self._wait(duplication, to_stderr=json, options=options)
        if json:
            self.stdout.write(_as_json(duplication, created=created))
        if wait:
            self._tell_end(duplication, quiet=json)

    def _wait(self, duplication: Duplication, *, to_stderr: bool, options: dict[str, Any]) -> None:
        # Not self.stdout: it ends everything it is given with a line feed, a bar's parts too.
        stream = options.get("stdout") or sys.stdout
        if to_stderr:
            stream = options.get("stderr") or sys.stderr
        try:
            with ProgressView(stream) as view:
                follow(duplication, view)
        except KeyboardInterrupt:
            raise CommandError(
                f"No longer followed; duplication {duplication.pk} goes on.", returncode=INTERRUPTED
            ) from None
        except Duplication.DoesNotExist:
            raise CommandError(f"Duplication {duplication.pk} was deleted.") from None

    def _tell_end(self, duplication: Duplication, *, quiet: bool) -> None:
        if not _is_verified(duplication):
            raise CommandError(
                f"Duplication {duplication.pk} is {duplication.status}. "
                f"{duplication.error_message}".rstrip()
            )
        if not quiet:
            self.stdout.write(
                self.style.SUCCESS(
                    f"Episode {duplication.new_episode_id} is a complete and verified copy."
                )
            )


def _is_verified(duplication: Duplication) -> bool:
    return duplication.has_status("COMPLETED") and bool(duplication.report.get("verified"))


def _as_json(duplication: Duplication, *, created: bool) -> str:
    return json.dumps(
        {
            "id": duplication.pk,
            "created": created,
            "episode": duplication.org_episode_id,
            "new_episode": duplication.new_episode_id,
            "title": duplication.title,
            "status": duplication.status,
            "verified": _is_verified(duplication),
            "error_code": duplication.error_code,
            "error_message": duplication.error_message,
            "levels": duplication.report.get("levels", []),
        }
    )
