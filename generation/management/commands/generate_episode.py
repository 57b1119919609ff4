"""`manage.py generate_episode ID`: have an episode's audio made, and wait for it if wanted; or
only look at what it would cost."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from content.models import Episode
from generation import limits
from generation.estimate import estimate
from generation.exceptions import CannotGenerate, LimitReached
from generation.models import GenerationJob, StageName
from generation.services import start_generation
from generation.terminal import UNITS, result, show_estimate, show_result
from operations.following import follow_in_terminal


class Command(BaseCommand):
    help = (
        "Generate an episode's audio. Workers make it; while one of the same episode is being "
        "made, that one is taken. With --wait the exit code is 0 only if the audio is there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, help="The episode's id.")
        parser.add_argument(
            "--from-stage",
            choices=StageName.values,
            default="",
            help="Make this stage and those behind it anew. Default: what fits the content as it "
            "is now is used again.",
        )
        parser.add_argument("--voice", help="The host's voice. Default: as last time.")
        parser.add_argument("--guest-voice", help="The guest's, in a dialogue.")
        parser.add_argument("--speed", type=float, help="1 is the voice's own.")
        parser.add_argument("--user", help="Whom it is for: the name of a user, who then sees it.")
        then = parser.add_mutually_exclusive_group()
        then.add_argument("--wait", action="store_true", help="Show its progress to its end.")
        then.add_argument(
            "--estimate",
            action="store_true",
            help="Only show what it would use and cost; start nothing.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object; progress to stderr."
        )

    def handle(
        self,
        *,
        id: int,
        from_stage: str,
        voice: str | None,
        guest_voice: str | None,
        speed: float | None,
        user: str | None,
        wait: bool,
        json: bool,
        **options: Any,
    ) -> None:
        stream = options.get("stdout") or sys.stdout
        wanted: dict[str, Any] = {
            "from_stage": from_stage,
            "voices": {
                speaker: name
                for speaker, name in (("host", voice), ("guest", guest_voice))
                if name is not None
            },
            "speed": speed,
        }
        requested_by = _user(user)
        try:
            if options["estimate"]:
                self._estimate(stream, id, wanted, as_json=json)
                return
            generation, created = start_generation(
                episode_id=id, requested_by=requested_by, **wanted
            )
        except CannotGenerate as error:
            raise CommandError(str(error)) from error
        started = "Started" if created else "Under way already:"
        if not json:
            self.stdout.write(f"{started} generation {generation.pk} of episode {id}.")
        if wait:
            follow_in_terminal(generation, options, to_stderr=json, units=UNITS)
        if json:
            self.stdout.write(_as_json(generation, created=created))
        if wait:
            self._tell_end(stream, generation, quiet=json)

    def _estimate(
        self, stream: TextIO, episode_id: int, wanted: dict[str, Any], *, as_json: bool
    ) -> None:
        episode = Episode.objects.visible().filter(pk=episode_id).first()
        if episode is None:
            raise CommandError(f"There is no episode {episode_id} to generate.")
        expected = estimate(episode, **wanted)
        limit = ""
        try:
            limits.check(expected.cost)
        except LimitReached as reached:
            limit = str(reached)
        if as_json:
            told = {
                **expected.as_json(),
                "cached_share": expected.cached_share,
                "left_out": [each.as_json() for each in expected.left_out],
                "limit": limit,
            }
            self.stdout.write(json.dumps(told))
        else:
            show_estimate(stream, episode, expected, limit)

    def _tell_end(self, stream: TextIO, generation: GenerationJob, *, quiet: bool) -> None:
        if not generation.has_status("COMPLETED"):
            raise CommandError(
                f"Generation {generation.pk} is {generation.status}. "
                f"{generation.error_message}".rstrip()
            )
        if not quiet:
            self.stdout.write(self.style.SUCCESS(f"Episode {generation.episode_id} has its audio."))
            show_result(stream, result(generation))


def _user(name: str | None) -> Any:
    if name is None:
        return None
    users = get_user_model()
    found = users.objects.filter(**{users.USERNAME_FIELD: name}).first()
    if found is None:
        raise CommandError(f"There is no user “{name}”.")
    return found


def _as_json(generation: GenerationJob, *, created: bool) -> str:
    told: dict[str, Any] = {
        "id": generation.pk,
        "created": created,
        "episode": generation.episode_id,
        "status": generation.status,
        "error_code": generation.error_code,
        "error_message": generation.error_message,
    }
    if generation.has_status("COMPLETED"):
        made = result(generation)._asdict()
        told |= {**made, "cost": str(made["cost"])}
    return json.dumps(told)
