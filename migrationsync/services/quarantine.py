"""What is done to rows that couldn't be brought over."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from migrationsync.entities import entities
from migrationsync.exceptions import CannotRun
from migrationsync.loading import Loaded, retry_quarantined
from migrationsync.models import QuarantinedRow
from migrationsync.source import Source

MAX_AT_ONCE = 1_000


def retry(rows: QuerySet[QuarantinedRow], *, by: Any) -> Loaded:
    """Tries open rows again, as they are in their source now, in this request; at most MAX_AT_ONCE.

    Those that come good, are marked as deleted or are gone are closed; the others have one more
    attempt and their new reasons. A transaction for each entity. Entities come in the order of
    their dependencies, so that a row and the one it points to may be tried together. Raises
    CannotRun (too many, none open, or of a database that isn't set), SourceUnreachable and
    SchemaDrift.
    """
    still_open = rows.filter(resolved_at=None)
    found = list(
        still_open.values_list("entity_type", "source_alias", "legacy_id")[: MAX_AT_ONCE + 1]
    )
    if not found:
        raise CannotRun("None of these rows is in quarantine any more.")
    if len(found) > MAX_AT_ONCE:
        raise CannotRun(f"At most {MAX_AT_ONCE:,} rows at once: choose fewer, or run the job.")
    keys: dict[str, dict[str, list[int]]] = {}
    for entity_type, alias, key in found:
        keys.setdefault(entity_type, {}).setdefault(alias, []).append(key)
    name = by.get_username() if by else "the terminal"
    batch = f"by {name} {timezone.now():%Y-%m-%d %H:%M:%S}"[:64]
    total = Loaded(None, 0, 0, 0, 0, 0, 0, 0, finished=True)
    for entity in entities.in_order(keys):
        for alias, wanted in keys[entity.name].items():
            source = _source(alias)
            table = source.check([entity])[entity.name]
            loaded = retry_quarantined(entity, source, table, wanted, batch_name=batch)
            total = _sum(total, loaded)
    return total


def _source(alias: str) -> Source:
    if alias not in settings.DATABASES:
        raise CannotRun(f"The rows are of the database “{alias}”, which isn't in the settings now.")
    return Source(alias)


def _sum(one: Loaded, other: Loaded) -> Loaded:
    """Of different entities: there is no key to go on behind."""
    numbers = {
        each.name: getattr(one, each.name) + getattr(other, each.name)
        for each in fields(Loaded)
        if each.name not in ("last", "finished")
    }
    return Loaded(last=None, finished=True, **numbers)
