"""Deletes rows of the target by their keys, and finds those that something still points to."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, InternalError, ProgrammingError, connection, transaction

from migrationsync.entities import Entity
from migrationsync.resolving import images

# What a trigger raises, as SQLSTATE says: to Django a mistake in the program.
_RAISED = "P0001"
# Foreign keys of one column that stand in a row's way. Those that the database follows itself
# (cascade, set null) don't.
_POINTING = """
SELECT c.conname, quote_ident(n.nspname) || '.' || quote_ident(r.relname), r.relname,
       quote_ident(a.attname), quote_ident(k.attname), c.conrelid = c.confrelid
FROM pg_constraint c
JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.contype = 'f' AND c.confrelid = %s::regclass AND c.confdeltype IN ('a', 'r')
  AND cardinality(c.conkey) = 1 AND c.conparentid = 0"""


def delete(entity: Entity, uuids: Sequence[UUID]) -> dict[UUID, str]:
    """Deletes these rows, one statement for all; answers those that can't be, each with why.

    In the caller's transaction. A row that is gone already counts as deleted. A parent goes with
    all of its children, or stays with one.
    """
    refused: dict[UUID, str] = {}
    left = list(uuids)
    while pointed_to := _pointed_to(entity, left):
        refused |= pointed_to
        left = [uuid for uuid in left if uuid not in pointed_to]
    unable = _delete(entity, left)
    # Halving parts parents from their children: those once more, as long as any goes.
    while entity.own_keys and unable:
        still = _delete(entity, list(unable))
        if len(still) == len(unable):
            break
        unable = still
    return refused | unable


def _pointed_to(entity: Entity, uuids: Sequence[UUID]) -> dict[UUID, str]:
    """Those of the rows that others still point to, which aren't among them."""
    found: dict[UUID, str] = {}
    table, key = images.table(entity), images.key_column(entity)
    with connection.cursor() as cursor:
        cursor.execute(_POINTING, [table])
        for constraint, pointing, shown, column, referenced, is_own in cursor.fetchall():
            others = f" AND p.{key} <> ALL(%(uuids)s)" if is_own else ""
            cursor.execute(
                f"SELECT t.{key} FROM {table} t WHERE t.{key} = ANY(%(uuids)s) AND EXISTS "
                f"(SELECT FROM {pointing} p WHERE p.{column} = t.{referenced}{others})",
                {"uuids": list(uuids)},
            )
            for (uuid,) in cursor.fetchall():
                found.setdefault(uuid, _refusal(shown, constraint))
    return found


def _delete(entity: Entity, uuids: Sequence[UUID]) -> dict[UUID, str]:
    if not uuids:
        return {}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {images.table(entity)} WHERE {images.key_column(entity)} = ANY(%s)",
                [list(uuids)],
            )
            # Else it is looked at when the caller commits: too late to say whose.
            connection.check_constraints()
        return {}
    except (IntegrityError, InternalError, ProgrammingError) as error:
        # Something pointed there since, or a trigger refuses it.
        state = getattr(error.__cause__, "sqlstate", None)
        if isinstance(error, ProgrammingError) and state != _RAISED:
            raise
        if len(uuids) == 1:
            return {uuids[0]: _of_database(error)}
    middle = len(uuids) // 2
    return _delete(entity, uuids[:middle]) | _delete(entity, uuids[middle:])


def _of_database(error: Exception) -> str:
    diagnosis = getattr(error.__cause__, "diag", None)
    if diagnosis is not None and diagnosis.constraint_name:
        return _refusal(diagnosis.table_name or "another table", diagnosis.constraint_name)
    return f"The database refuses it: {str(error).partition(chr(10))[0]}"


def _refusal(table: str, constraint: str) -> str:
    return f"A row of {table} still points to it (“{constraint}”): resolve that one first."
