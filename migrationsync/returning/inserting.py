"""Rows that only the target has: new rows of the source, with new legacy keys.

The row is inserted first, its key is committed on our side as an intent, and only then the
source's transaction is committed. So whoever comes after a crash knows every key that may have
been given, and looks there before it inserts. A row that the source refuses leaves no intent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Max

from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping
from migrationsync.returning import marks
from migrationsync.returning.keeping import keep
from migrationsync.returning.results import Returned
from migrationsync.returning.rows import (
    NotReturnable,
    SourceRow,
    TargetRow,
    chunks,
    source_rows,
    target_rows,
    to_write,
    with_key,
)
from migrationsync.returning.updating import as_kept, changed, refused, returned
from migrationsync.source import Source, Table
from migrationsync.source.writing import SEQUENCE_BEHIND, RowRefused, Writer, writing

# Commits that these UUIDs have these legacy keys, with GONE in place of the source's checksum.
# Raises where one of either has a mapping already: somebody else was quicker.
Reserve = Callable[[Sequence[tuple[UUID, int]]], object]
# The rows of a tree that a row points to, by the field.
Parents = Mapping[str, UUID | None]
_Id = TypeVar("_Id", int, UUID)


def insert_back(
    entity: Entity, source: Source, table: Table, uuids: Sequence[UUID], *, reserve: Reserve
) -> list[Returned]:
    """Makes these rows of the target rows of the source; one answer for each, in their order.

    A row that has a key by the mapping (an intent, or its row is gone from the source) gets that
    one again. One that is marked as deleted there is brought back. Parents come before their
    children. `reserve` is called with the new keys, at most once for each few hundred rows, before
    they are committed on the source: it must commit. Idempotent, whenever it was stopped. Raises
    SourceUnreachable, MayNotWrite, and what `reserve` raises: then nothing of these rows is in the
    source.
    """
    found: dict[UUID, Returned] = {}
    parents = _parents(entity, uuids)
    above = {uuid: each.values() for uuid, each in parents.items()}
    # Keys of version 7: in the order in which they were made.
    for chunk in chunks(parents_first(sorted(set(uuids)), above)):
        targets = target_rows(entity, chunk)
        found |= {
            uuid: Returned(uuid, None, None, problem="is no longer in the target")
            for uuid in chunk
            if uuid not in targets
        }
        with writing(source, entity, table) as writer:
            inserting = _Inserting(entity, table, writer, targets, found)
            for uuid in (each for each in chunk if each in targets):
                found[uuid] = inserting.one(targets[uuid], parents.get(uuid, {}))
            if inserting.new:
                reserve(inserting.new)
            keep(entity, (found[uuid] for uuid in targets))
    return [found[uuid] for uuid in uuids]


def parents_first(ids: Sequence[_Id], parents: Mapping[_Id, Iterable[_Id | None]]) -> list[_Id]:
    """`ids`, each behind those of its parents that are among them; else in their order. Of rows
    that go in a ring one has to be the first."""
    ordered: dict[_Id, None] = {}
    wanted, seen = set(ids), set()
    for root in ids:
        # From a row to what it needs first.
        way = [root]
        while way:
            if way[-1] in seen:
                ordered.setdefault(way.pop())
                continue
            seen.add(way[-1])
            needed = [each for each in parents.get(way[-1], ()) if each is not None]
            way += [each for each in needed if each in wanted and each not in seen]
    return list(ordered)


def _parents(entity: Entity, uuids: Sequence[UUID]) -> dict[UUID, Parents]:
    """Empty where the entity is no tree."""
    if not entity.own_keys:
        return {}
    # Not by the field's name, which would join the parent.
    columns = [f"{name}_id" for name in entity.own_keys]
    rows = entity.target._base_manager.filter(pk__in=uuids).values_list("pk", *columns)
    return {uuid: dict(zip(entity.own_keys, values, strict=True)) for uuid, *values in rows}


class _Inserting:
    """One transaction's rows. `new` are the keys that nobody knew before; `found` the answers
    about all rows so far."""

    def __init__(
        self,
        entity: Entity,
        table: Table,
        writer: Writer,
        targets: Mapping[UUID, TargetRow],
        found: Mapping[UUID, Returned],
    ) -> None:
        self.new: list[tuple[UUID, int]] = []
        self._found = found
        self._entity, self._table, self._writer = entity, table, writer
        keys = [each.legacy_id for each in targets.values() if each.legacy_id is not None]
        self._rows = source_rows(entity, writer, table, keys)
        self._last: int | None = None

    def one(self, target: TargetRow, parents: Parents) -> Returned:
        row = self._rows.get(target.legacy_id) if target.legacy_id is not None else None
        target, own = self._with_parents(target, parents)
        try:
            wanted = to_write(self._entity, self._table, target, row)
            if row is None:
                return self._inserted(target, wanted, own)
            if row.is_deleted:
                target = with_key(self._entity, target, row.key)
                return returned(target, row, self._brought_back(row, wanted))
        except (NotReturnable, RowRefused) as refusal:
            return refused(target, str(refusal))
        if wanted:
            return refused(
                target,
                f"the source has another row of the key {row.key} that was meant for it: see "
                "whose it is; without its id mapping it gets another key",
            )
        return returned(with_key(self._entity, target, row.key), None, row)

    def _with_parents(self, target: TargetRow, parents: Parents) -> tuple[TargetRow, list[str]]:
        """The row with the keys that its new parents were given; and the columns that are to have
        its own, which the source hasn't given yet."""
        values, problems, own = dict(target.values), dict(target.problems), []
        for name, column in self._entity.own_keys.items():
            parent = parents.get(name)
            if name not in problems or parent is None:
                continue
            key = None
            if parent == target.uuid:
                key = self._next_key() if target.legacy_id is None else target.legacy_id
                own += [column.source] if key is None else []
            elif parent not in self._found or self._found[parent].problem:
                continue
            else:
                key = self._found[parent].legacy_id
            values[name] = key
            del problems[name]
        return replace(target, values=values, problems=problems), own

    def _inserted(self, target: TargetRow, wanted: dict[str, Any], own: Sequence[str]) -> Returned:
        entity, table, writer = self._entity, self._table, self._writer
        key = self._next_key() if target.legacy_id is None else target.legacy_id
        values = {
            **marks.not_deleted(entity, table),
            **marks.changed_now(entity, table),
            **wanted,
        }
        if key is not None:
            values = {entity.key: key, **values}
        with writer.attempt():
            given = writer.insert(values)
            if key is None:
                self._refuse_known(given)
            row = as_kept(entity, table, writer, given, wanted)
            if own:
                row = changed(entity, table, writer, row, dict.fromkeys(own, given))
            target = with_key(entity, target, given)
        if target.legacy_id is None:
            self.new.append((target.uuid, given))
            self._last = given
        return returned(target, None, row)

    def _brought_back(self, row: SourceRow, wanted: dict[str, Any]) -> SourceRow:
        values = {**marks.not_deleted(self._entity, self._table), **wanted}
        with self._writer.attempt():
            now = changed(self._entity, self._table, self._writer, row, values)
            if now.is_deleted:
                raise NotReturnable("is marked as deleted in the source, and nothing unmarks it")
            return now

    def _next_key(self) -> int | None:
        """None: the source gives it one itself (a sequence, AUTO_INCREMENT).

        Else behind every key that is or ever was mapped: one that is used again would be taken for
        the record that had it.
        """
        if self._table.columns[self._entity.key].has_default:
            return None
        if self._last is None:
            mapped = LegacyIdMapping.objects.filter(entity_type=self._entity.name)
            greatest = mapped.aggregate(greatest=Max("legacy_id"))["greatest"]
            there = self._writer.high_water(self._table, self._entity.key)
            self._last = max(greatest or 0, there or 0)
        return self._last + 1

    def _refuse_known(self, key: int) -> None:
        known = LegacyIdMapping.objects.filter(entity_type=self._entity.name, legacy_id=key)
        if known.exists():
            raise NotReturnable(
                f"the source gave it the key {key}, which was another record's: {SEQUENCE_BEHIND}"
            )
