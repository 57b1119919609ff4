"""Catching up as a kind of operation."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from content.permissions import can_change_episode
from duplication.catch_up.work import ApplyEdits, open_edits
from duplication.exceptions import CannotCatchUp
from duplication.models import UNFINISHED, CatchUp, CatchUpJob, Duplication
from duplication.removal.conditions import active_removal, has_id_map
from operations import control, delivery, telemetry
from operations.kinds import Kind

EDITS = "edits"


class CatchUpKind(Kind[CatchUp]):
    name = "catch_up"
    operation = CatchUp
    job = CatchUpJob
    work = {ApplyEdits.__name__: ApplyEdits}
    stages = (EDITS,)

    def stage_completed(self, operation: CatchUp, stage: str) -> None:
        counts = operation.jobs.values_list("counts", flat=True).get()
        control.complete(operation, payload=counts)

    def refusal(self, operation: CatchUp, verb: str) -> str:
        duplication = operation.duplication
        is_removing = duplication.deletion_began_at or active_removal(duplication)
        if verb in ("resume", "retry") and is_removing:
            return f"{duplication}: its copy is being removed, so there is nothing to catch up."
        return ""

    def log_fields(self, operation: CatchUp) -> dict[str, object]:
        return {"catch_up_id": operation.pk, "duplication_id": operation.duplication_id}


CATCH_UP = CatchUpKind()


def start_catch_up(*, duplication: Duplication, requested_by: Any) -> tuple[CatchUp, bool]:
    """Start applying the open edits; answers the catch-up, and whether this call made it.

    One that is unfinished is answered instead of a second one. Commits the catch-up and its
    job together. Raises CannotCatchUp with the reason; permission is the caller's to check.
    """
    with telemetry.span("catch_up", duplication_id=duplication.pk), transaction.atomic():
        duplication = Duplication.objects.select_for_update(no_key=True, of=("self",)).get(
            pk=duplication.pk
        )
        if unfinished := duplication.catch_ups.filter(UNFINISHED).first():
            return unfinished, False
        if reason := why_not(duplication):
            raise CannotCatchUp(reason)
        catch_up = CatchUp.objects.create(
            duplication=duplication,
            requested_by=requested_by,
            traceparent=telemetry.current_traceparent(),
        )
        delivery.add_job(CatchUpJob, catch_up, name=ApplyEdits.__name__, stage=EDITS)
        return catch_up, True


def why_not(duplication: Duplication) -> str:
    """Why there is nothing to catch up, or not now; empty: there is."""
    if not duplication.has_status("COMPLETED"):
        return f"{duplication} is not completed: only a complete copy can catch up."
    if duplication.new_episode_id is None or active_removal(duplication):
        return f"The copy of {duplication} was removed, or is being removed."
    if not has_id_map(duplication):
        return "It is no longer known which row became which: copy the original again instead."
    if not open_edits(duplication.pk).exists():
        return "Nothing was edited in the original while it was copied that isn't in the copy."
    return ""


def may_catch_up(user: Any, duplication: Duplication) -> bool:
    copy = duplication.new_episode
    return copy is not None and can_change_episode(user, copy)
