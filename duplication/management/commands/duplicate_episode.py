"""`manage.py duplicate_episode ID`: start a duplication, and wait for it if wanted; or only
look at what it would be."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from content.models import Episode
from duplication.exceptions import CannotStart
from duplication.models import Duplication
from duplication.preview import preview
from duplication.preview.terminal import show_preview
from duplication.services import MAX_LANES, MAX_TITLE_LENGTH, start_duplication
from operations.following import follow_in_terminal


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
        parser.add_argument(
            "--media",
            choices=Duplication.MediaStrategy.values,
            default=Duplication.MediaStrategy.SHARE.value,
            help="What becomes of the files that blocks name: shared, or copied as well.",
        )
        parser.add_argument(
            "--require-media",
            action="store_true",
            help="With --media copy: fail when a file is missing.",
        )
        then = parser.add_mutually_exclusive_group()
        then.add_argument("--wait", action="store_true", help="Show its progress to its end.")
        then.add_argument(
            "--preview", action="store_true", help="Only show what it would be; start nothing."
        )
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object; progress to stderr."
        )

    def handle(
        self,
        *,
        id: int,
        title: str,
        lanes: int | None,
        media: str,
        require_media: bool,
        wait: bool,
        json: bool,
        preview: bool,
        **options: Any,
    ) -> None:
        if preview:
            self._preview(id, lanes, media, as_json=json, options=options)
            return
        if len(title) > MAX_TITLE_LENGTH:
            raise CommandError(f"--title has {len(title)} characters: at most {MAX_TITLE_LENGTH}.")
        try:
            duplication, created = start_duplication(
                episode_id=id,
                requested_by=None,
                title=title,
                lanes=lanes,
                media_strategy=media,
                media_required=require_media,
            )
        except CannotStart as error:
            raise CommandError(str(error)) from error
        started = "Started" if created else "Under way already:"
        if not json:
            self.stdout.write(f"{started} duplication {duplication.pk} of episode {id}.")
        if wait:
            follow_in_terminal(duplication, options, to_stderr=json)
        if json:
            self.stdout.write(_as_json(duplication, created=created))
        if wait:
            self._tell_end(duplication, quiet=json)

    def _preview(
        self,
        episode_id: int,
        lanes: int | None,
        media: str,
        *,
        as_json: bool,
        options: dict[str, Any],
    ) -> None:
        episode = Episode.objects.visible().filter(pk=episode_id).first()
        if episode is None:
            raise CommandError(f"There is no episode {episode_id} to duplicate.")
        try:
            found = preview(episode, None, media_strategy=media, lanes=lanes)
        except CannotStart as error:
            raise CommandError(str(error)) from error
        if as_json:
            self.stdout.write(json.dumps(dataclasses.asdict(found)))
        else:
            show_preview(options.get("stdout") or sys.stdout, episode, found)

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
            "media": duplication.report.get("media"),
        }
    )
