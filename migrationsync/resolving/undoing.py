"""Puts a side back as it was before a change, where it is still as the change left it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from django.db import IntegrityError, InternalError, connection, transaction
from django.db.utils import DataError
from django.utils import timezone

from migrationsync import lookup, returning
from migrationsync.entities import Entity, UnknownEntity, entities
from migrationsync.exceptions import CannotUndo
from migrationsync.models import AppliedChange
from migrationsync.resolving import images
from migrationsync.resolving.images import MAPPINGS
from migrationsync.source import Source

Side = AppliedChange.Side
_CHANGED = (
    "It has changed since: what it was before would be written over that. See the record as it is, "
    "and change it there."
)


def undone(change: AppliedChange, source: Source | None, *, by: Any) -> AppliedChange:
    """The change, locked and undone in the caller's transaction; the mapping is as it was, too. So
    the next comparison finds the difference again, and a job whose rule decides it does it again.

    A change of the source is undone there first: that is committed, and may be repeated. Raises
    CannotUndo, SourceUnreachable, MayNotWrite.
    """
    change = AppliedChange.objects.select_for_update(of=("self",)).get(pk=change.pk)
    if change.undone_at is not None:
        raise CannotUndo(f"It was undone already, {change.undone_at:%Y-%m-%d %H:%M} UTC.")
    try:
        entity = entities.get(change.entity_type)
    except UnknownEntity as error:
        raise CannotUndo(str(error)) from error
    if change.side == Side.SOURCE:
        _undo_in_source(entity, change, source)
    else:
        _undo_in_target(entity, change)
    change.undone_at, change.undone_by = timezone.now(), by
    change.save(update_fields=["undone_at", "undone_by"])
    return change


def _undo_in_source(entity: Entity, change: AppliedChange, source: Source | None) -> None:
    if source is None or change.legacy_id is None:
        raise CannotUndo(
            "The job that wrote it is gone, so it isn't known which source it was: change the row "
            "there, then compare."
        )
    if change.mapping_before is not None:
        _refuse_moved(entity, change)
    table = source.check([entity])[entity.name]
    found = returning.restore(
        entity, source, table, change.legacy_id, before=change.before, after=change.after
    )
    if found.problem:
        raise CannotUndo(f"The source's row {found.problem}.")
    _restore_mapping(entity, change)


def _undo_in_target(entity: Entity, change: AppliedChange) -> None:
    try:
        with transaction.atomic():
            _refuse_moved(entity, change)
            _refuse_changed(entity, change)
            _restore_row(entity, change)
            _restore_mapping(entity, change)
            connection.check_constraints()
    except (IntegrityError, InternalError, DataError) as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        constraint = diagnosis and diagnosis.constraint_name
        named = f" (“{constraint}”)" if constraint else ""
        told = (diagnosis and diagnosis.message_primary) or str(error).partition("\n")[0]
        raise CannotUndo(
            f"The database refuses it{named}: {told}. Undo what other rows it depends on first."
        ) from error


def _refuse_changed(entity: Entity, change: AppliedChange) -> None:
    key = f"t.{images.key_column(entity)}"
    found = _row(
        f"SELECT 1 FROM {images.table(entity)} t WHERE {key} = %s FOR UPDATE", [change.uuid]
    )
    # Compared there: a number that Python has read isn't the same text.
    image = images.of_target(entity).replace("%", "%%")
    if found is None:
        is_same = change.after is None
    else:
        is_same = _row(
            f"SELECT {image} IS NOT DISTINCT FROM c.after FROM {images.table(entity)} t, "
            f"{AppliedChange._meta.db_table} c WHERE {key} = %s AND c.id = %s",
            [change.uuid, change.pk],
        ) == (True,)
    if not is_same:
        raise CannotUndo(_CHANGED)


def _refuse_moved(entity: Entity, change: AppliedChange) -> None:
    """The legacy row may be another record's by now."""
    found = _row(
        f"SELECT uuid_id FROM {MAPPINGS} WHERE entity_type = %s AND legacy_id = %s FOR UPDATE",
        [entity.name, change.legacy_id],
    )
    if found is not None and found[0] != change.uuid:
        raise CannotUndo(
            f"Legacy id {change.legacy_id} was migrated anew since, to {found[0]}: that record "
            "would lose its mapping."
        )


def _restore_row(entity: Entity, change: AppliedChange) -> None:
    """From the stored image, which never passes through Python."""
    stored = f"(SELECT before FROM {AppliedChange._meta.db_table} WHERE id = %s)"
    if change.before is None:
        _execute(
            f"DELETE FROM {images.table(entity)} WHERE {images.key_column(entity)} = %s",
            [change.uuid],
        )
    elif change.after is None:
        _execute(images.inserted(entity, change.before, stored), [change.pk])
    elif change.before != change.after:
        _execute(images.updated(entity, change.before, stored), [change.pk])


def _restore_mapping(entity: Entity, change: AppliedChange) -> None:
    if change.legacy_id is None:
        return
    _execute(
        f"DELETE FROM {MAPPINGS} WHERE entity_type = %s AND legacy_id = %s",
        [entity.name, change.legacy_id],
    )
    if change.mapping_before is not None:
        _execute(
            f"INSERT INTO {MAPPINGS} SELECT * FROM jsonb_populate_record(NULL::{MAPPINGS}, %s)",
            [json.dumps(change.mapping_before)],
        )
    else:
        transaction.on_commit(partial(lookup.forget, entity.name, change.legacy_id))


def _row(statement: str, parameters: list[Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()


def _execute(statement: str, parameters: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
