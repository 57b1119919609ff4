"""`manage.py control pause duplication 12 13`: steer operations from the terminal."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from operations import kinds, verbs
from operations.keys import as_json
from operations.models import Operation


class Command(BaseCommand):
    help = (
        "Pause, resume, retry or cancel operations. A pause or a cancel is asked for at once and "
        "reached when the running steps have ended. The exit code is 0 only if none was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=list(verbs.VERBS), help="What to do.")
        parser.add_argument("kind", choices=[kind.name for kind in kinds.all_kinds()])
        parser.add_argument("ids", nargs="*", help="Which; or --all.")
        parser.add_argument("--all", action="store_true", help="All to which it can be done now.")
        parser.add_argument("--json", action="store_true", help="Print one JSON array.")

    def handle(
        self, *, verb: str, kind: str, ids: list[Any], all: bool, json: bool, **options: Any
    ) -> None:
        if bool(ids) == all:
            raise CommandError("Give the ids of the operations, or --all.")
        model = kinds.get(kind).operation
        if all:
            ids = _all_for(verb, model)
        outcomes = verbs.apply_to_many(verb, model, ids, by=None)
        if json:
            self.stdout.write(_as_json(outcomes))
        else:
            for outcome in outcomes:
                self._tell(verb, kind, outcome)
            if not outcomes:
                self.stdout.write(f"There is nothing to {verb}.")
        refused = [outcome for outcome in outcomes if outcome.refusal]
        if refused:
            raise CommandError(f"{len(refused)} of {len(outcomes)} refused.")

    def _tell(self, verb: str, kind: str, outcome: verbs.Outcome) -> None:
        if outcome.refusal:
            self.stdout.write(self.style.ERROR(f"{kind} {outcome.operation_id}: {outcome.refusal}"))
        elif outcome.operation:
            state = outcome.operation.state_label.lower()
            done = verbs.VERBS[verb].done
            self.stdout.write(f"{kind} {outcome.operation_id}: {done}, now {state}.")


def _all_for(verb: str, model: type[Operation]) -> list[Any]:
    """The ids of those that are in a status the verb starts from, oldest first."""
    statuses = [model.Status[name] for name in model.EDGES[verb].sources]
    found = model._default_manager.filter(status__in=statuses).order_by("pk")
    return list(found.values_list("pk", flat=True))


def _as_json(outcomes: list[verbs.Outcome]) -> str:
    return json.dumps(
        [
            {
                "id": as_json(outcome.operation_id),
                "status": outcome.operation.display_status if outcome.operation else None,
                "refusal": outcome.refusal,
            }
            for outcome in outcomes
        ]
    )
