"""The verbs of removal: every way in comes through here."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from duplication.exceptions import CannotRemove
from duplication.models import UNFINISHED, Duplication, Removal
from duplication.removal.changes import saved_since
from duplication.removal.checking import changed_since
from duplication.removal.conditions import duplicated_since, is_undo, obstacle
from duplication.removal.hiding import hide_copy, lock_copy
from duplication.removal.kind import REMOVAL
from operations import control, events, idempotency, telemetry


class RemovalStarted(NamedTuple):
    """`created` is False when an earlier removal is answered instead."""

    removal: Removal
    created: bool


def start_removal(
    *,
    duplication: Duplication,
    requested_by: Any,
    even_if_changed: bool = False,
    idempotency_key: str | None = None,
) -> RemovalStarted:
    """Start to take the copy away and answer at once; workers do the rest.

    For a completed duplication that is an undo, for a failed or cancelled one a clean-up. An
    unfinished removal is answered instead of a second one: as it is, if it is under way, and
    tried again, if it failed; with `even_if_changed` it doesn't ask for changes any more.
    Commits the removal, the hidden copy, the first job and (with the ORM broker) its delivery
    together. Raises CannotRemove with the reason and a way on, and IdempotencyKeyReused;
    permission is the caller's to check.
    """
    request = idempotency.Request(
        Removal.kind, requested_by, idempotency_key or "", [duplication.pk, even_if_changed]
    )
    with telemetry.span("removal", duplication_id=duplication.pk), transaction.atomic():
        if idempotency_key and (earlier := idempotency.answered(request)):
            return RemovalStarted(Removal.objects.get(pk=earlier), created=False)
        started = _start(duplication.pk, requested_by, even_if_changed)
        if idempotency_key:
            idempotency.remember(request, started.removal)
        return started


def keep_copy(*, removal: Removal, by: Any) -> Removal:
    """Settle a removal that failed before it deleted anything: the copy is kept, as it is shown
    since, and can be removed later all the same. Commits that; nothing is enqueued.

    Raises PermissionDenied, InvalidTransition on one that hasn't failed, and CannotRemove where
    nothing whole is left to keep.
    """
    if not removal.may_be_controlled_by(by):
        raise PermissionDenied(f"{removal} is somebody else's: only they can settle it.")
    with transaction.atomic():
        duplication = Duplication.objects.select_for_update(no_key=True).get(
            pk=removal.duplication_id
        )
        if duplication.deletion_began_at:
            raise CannotRemove(
                "partly_removed", "Part of the copy is gone: it can only be removed wholly. Retry."
            )
        waited = {name: getattr(removal, name) for name in control.clear_waiting(removal)}
        removal.take("keep", ended_at=timezone.now(), seen_at=timezone.now(), **waited)
        events.append(
            removal, "cancelled", payload={"by": by.get_username(), "message": "The copy is kept."}
        )
    return removal


def may_keep_copy(user: Any, removal: Removal) -> bool:
    """Whether to offer it; `keep_copy` says why not."""
    return (
        removal.has_status("FAILED")
        and removal.duplication.deletion_began_at is None
        and removal.may_be_controlled_by(user)
    )


def clean_up(duplication: Duplication) -> Removal | None:
    """Start to take away what a failed or cancelled duplication made, for who asked for it.
    None where nothing was made. In the caller's transaction, with the row locked."""
    if duplication.new_episode_id is None or duplication.removals.filter(UNFINISHED).exists():
        return None
    return _create(duplication, duplication.requested_by, even_if_changed=False)


def _start(duplication_id: int, requested_by: Any, even_if_changed: bool) -> RemovalStarted:
    # Of two clicks the second waits here, and then finds the first one's removal.
    Duplication.objects.select_for_update(no_key=True).get(pk=duplication_id)
    unfinished = Removal.objects.filter(UNFINISHED, duplication=duplication_id).first()
    if unfinished and even_if_changed and not unfinished.even_if_changed:
        unfinished.even_if_changed = True
        unfinished.save(update_fields=["even_if_changed", "updated_at"])
    if unfinished and unfinished.is_active:
        return RemovalStarted(unfinished, created=False)
    duplication = lock_copy(duplication_id)
    if found := obstacle(duplication):
        raise CannotRemove(found.code, found.message)
    if is_undo(duplication) and not even_if_changed:
        _refuse_changed(duplication)
    if unfinished:
        control.retry(REMOVAL, unfinished, by=requested_by)
        unfinished.refresh_from_db()
        return RemovalStarted(unfinished, created=False)
    return RemovalStarted(_create(duplication, requested_by, even_if_changed), created=True)


def _refuse_changed(duplication: Duplication) -> None:
    """Raises CannotRemove when a short look shows that somebody's work would go with the copy.
    The removal itself looks at every row."""
    if found := duplicated_since(duplication):
        raise CannotRemove(found.code, found.message)
    if changes := saved_since(duplication):
        raise changed_since(changes)


def _create(duplication: Duplication, requested_by: Any, even_if_changed: bool) -> Removal:
    removal = Removal.objects.create(
        duplication=duplication,
        requested_by=requested_by,
        even_if_changed=even_if_changed,
        traceparent=telemetry.current_traceparent(),
    )
    hide_copy(removal, duplication)
    REMOVAL.start(removal)
    events.append(
        duplication,
        "feedback",
        payload={"message": f"Its copy is being taken away (removal {removal.pk})."},
    )
    return removal
