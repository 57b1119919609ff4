"""Writes down what became of records, and closes the differentials that are through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from migrationsync.models import DataDifferential, DifferentialRecord
from migrationsync.resolving.applying import Outcome

_RECORDS = DifferentialRecord._meta.db_table
_DIFFERENTIALS = DataDifferential._meta.db_table
State = DifferentialRecord.State

_MARK = f"""
UPDATE {_RECORDS} r SET state = o.state, outcome = o.outcome, decided_at = statement_timestamp(),
    decided_by_id = coalesce(%s, r.decided_by_id)
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS o (id, state, outcome) WHERE r.id = o.id
RETURNING r.differential_id"""

_CLOSE = f"""
UPDATE {_DIFFERENTIALS} d SET resolved = f.is_through,
    resolved_at = CASE WHEN f.is_through THEN statement_timestamp() END
FROM (SELECT d.id, NOT EXISTS (SELECT FROM {_RECORDS} r WHERE r.differential_id = d.id
        AND r.state IN ('{State.OPEN}', '{State.FAILED}')) AS is_through
    FROM {_DIFFERENTIALS} d WHERE d.id = ANY(%s)) AS f
WHERE d.id = f.id AND d.resolved <> f.is_through"""


def mark(outcomes: Mapping[int, Outcome], *, by_id: Any = None) -> None:
    """One statement for all of the records, in the caller's transaction. A differential is
    resolved once every record of it is, or is left as it is by a decision."""
    if not outcomes:
        return
    ids = sorted(outcomes)
    states = [outcomes[each].state.value for each in ids]
    texts = [outcomes[each].text for each in ids]
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [by_id, ids, states, texts])
        differentials = {differential for (differential,) in cursor.fetchall()}
    close(differentials)


def reopen(record: DifferentialRecord) -> None:
    """As if it had never been decided, unless a later comparison has passed over it: that one, or
    the next, finds what differs."""
    there = DifferentialRecord.objects.filter(
        pk=record.pk, differential__superseded_at__isnull=True
    ).exclude(state=State.OPEN)
    reopened = there.update(
        state=State.OPEN,
        strategy="",
        outcome="",
        resolving_run=None,
        decided_by=None,
        decided_at=None,
    )
    if reopened:
        close([record.differential_id])


def close(differentials: Iterable[Any]) -> None:
    """Locks them in their order: two who decide a differential's last records wait in turn."""
    ids = sorted(differentials)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT FROM {_DIFFERENTIALS} WHERE id = ANY(%s) "
            "ORDER BY id FOR UPDATE) AS locked",
            [ids],
        )
        cursor.execute(_CLOSE, [ids])
