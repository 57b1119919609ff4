"""Catching up as a kind of operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction

from content.models import Episode
from content.permissions import can_change_episode
from duplication.catch_up.files import CopyEditedFiles
from duplication.catch_up.work import ApplyEdits, open_edits
from duplication.exceptions import CannotCatchUp
from duplication.media.work import look_again
from duplication.models import UNFINISHED, CatchUp, CatchUpJob, Duplication
from duplication.removal.conditions import active_removal, has_id_map
from duplication.stages import LABELS, MEDIA
from operations import control, delivery, telemetry
from operations.kinds import Kind
from operations.stages import Rows, Stage

EDITS = "edits"
STAGES = (Stage(MEDIA, LABELS[MEDIA], Rows.APART), Stage(EDITS, "Edits"))


class CatchUpKind(Kind[CatchUp]):
    name = "catch_up"
    operation = CatchUp
    job = CatchUpJob
    work = {CopyEditedFiles.__name__: CopyEditedFiles, ApplyEdits.__name__: ApplyEdits}
    stages = (MEDIA, EDITS)

    def stages_of(self, operation: CatchUp) -> Sequence[Stage]:
        """A copy that shares the original's files gets none of its own."""
        if operation.duplication.media_strategy == Duplication.MediaStrategy.COPY:
            return STAGES
        return STAGES[1:]

    def start(self, catch_up: CatchUp) -> None:
        """Add the first stage, in the transaction that creates the catch-up."""
        if self.stages_of(catch_up) == STAGES:
            delivery.add_job(CatchUpJob, catch_up, name=CopyEditedFiles.__name__, stage=MEDIA)
        else:
            self._apply(catch_up)

    def _apply(self, catch_up: CatchUp) -> None:
        delivery.add_job(CatchUpJob, catch_up, name=ApplyEdits.__name__, stage=EDITS)

    def stage_completed(self, operation: CatchUp, stage: str) -> None:
        if stage == MEDIA:
            self._apply(operation)
        else:
            counts = operation.jobs.values_list("counts", flat=True).get(stage=EDITS)
            control.complete(operation, payload=counts)

    def on_failed(self, operation: CatchUp) -> None:
        look_again(operation)

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
        CATCH_UP.start(catch_up)
        return catch_up, True


def why_not(duplication: Duplication) -> str:
    """Why there is nothing to catch up, or not now; empty: there is."""
    if not duplication.has_status("COMPLETED"):
        return f"{duplication} is not completed: only a complete copy can catch up."
    if _is_copy_gone(duplication) or active_removal(duplication):
        return f"The copy of {duplication} was removed, or is being removed."
    if not has_id_map(duplication):
        return "It is no longer known which row became which: copy the original again instead."
    if not open_edits(duplication.pk).exists():
        return "Nothing was edited in the original while it was copied that isn't in the copy."
    return ""


def check_may_catch_up(user: Any, duplication: Duplication) -> None:
    """Raises PermissionDenied with what is missing, and CannotCatchUp where there is no copy to be
    seen by anybody, its owner neither."""
    if _is_copy_gone(duplication):
        raise CannotCatchUp(why_not(duplication))
    if not may_catch_up(user, duplication):
        raise PermissionDenied("The copy is somebody else's: its owner can let it catch up.")


def may_catch_up(user: Any, duplication: Duplication) -> bool:
    copy = duplication.new_episode
    return copy is not None and can_change_episode(user, copy)


def _is_copy_gone(duplication: Duplication) -> bool:
    copy = duplication.new_episode
    return copy is None or copy.status in Episode.HIDDEN
