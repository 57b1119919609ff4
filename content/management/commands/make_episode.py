"""`manage.py make_episode`: a made-up episode of any size."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from content.synthetic import make_episode


class Command(BaseCommand):
    help = (
        "Make a synthetic episode. The numbers multiply: --parts 10 --items 10 --blocks 10 "
        "makes 10 parts, 100 items and 1,000 blocks."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parts", type=int, required=True, help="Parts of the episode.")
        parser.add_argument("--items", type=int, required=True, help="Items in each part.")
        parser.add_argument("--blocks", type=int, required=True, help="Blocks in each item.")
        parser.add_argument(
            "--skewed",
            action="store_true",
            help="The same total, with nine blocks in ten under the first item.",
        )
        parser.add_argument("--title", help="Its title; made from the numbers if left out.")
        parser.add_argument("--owner", metavar="USERNAME", help="Who will own the episode.")

    def handle(
        self,
        *,
        parts: int,
        items: int,
        blocks: int,
        skewed: bool,
        title: str | None,
        owner: str | None,
        **options: Any,
    ) -> None:
        users = get_user_model()
        try:
            user = users.objects.get_by_natural_key(owner) if owner is not None else None
            episode = make_episode(
                parts=parts, items=items, blocks=blocks, skewed=skewed, title=title, owner=user
            )
        except users.DoesNotExist as error:
            raise CommandError(f"There is no user {owner!r}.") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
        total = f"{parts:,} parts, {parts * items:,} items, {parts * items * blocks:,} blocks"
        self.stdout.write(f"Made episode {episode.pk}: {total}.")
