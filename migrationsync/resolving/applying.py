"""Carries out what was decided about records, in the target and the id mapping.

By sets, in the caller's transaction, with an undo record of everything that changed. What isn't
as it was seen is left alone: nothing newer is overwritten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from django.db import connection, transaction

from migrationsync import lookup
from migrationsync.comparing.records import Key
from migrationsync.differences import Kind
from migrationsync.entities import Entity
from migrationsync.loading import Prepared, write
from migrationsync.loading.refusals import Refusal
from migrationsync.models import DifferentialRecord
from migrationsync.resolving import deleting, images, staging
from migrationsync.resolving.gathering import GONE, Decided, Gathered
from migrationsync.resolving.images import MAPPINGS
from migrationsync.resolving.rules import Action
from migrationsync.resolving.staging import RECORDS
from migrationsync.returning import Returned

State = DifferentialRecord.State

CHANGED_MEANWHILE = (
    "It changed while it was being resolved, so nothing was done: see how it is now, and decide "
    "again."
)
ALIKE = "Both sides are alike already."
_NOT_THERE = "The source has no such row any more, so nothing was done."
_DONE = {
    Action.LOAD: "Brought over to the target.",
    Action.OVERWRITE: "The target has what the source has.",
    Action.RECREATE: "Brought back to the target.",
    Action.DELETE_TARGET: "Deleted from the target.",
    Action.RETURN: "The source has what the target has.",
    Action.RETURN_NEW: "Added to the source.",
    Action.DELETE_SOURCE: "Deleted from the source.",
    Action.ACCEPT: "Accepted: the two may differ.",
    Action.FORGET: "Gone from both sides: the mapping is removed.",
    Action.SKIP: "Left as it is.",
}


class Outcome(NamedTuple):
    state: DifferentialRecord.State
    text: str


@dataclass
class Applied:
    """What became of each record. Those that are left to a person aren't in it."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def set(self, record: int, state: DifferentialRecord.State, text: str, count: str) -> None:
        self.outcomes[record] = Outcome(state, text)
        self.counts[count] += 1


def apply(
    gathered: Gathered,
    records: Mapping[Key, int],
    *,
    batch_name: str,
    run_id: Any = None,
    by_id: Any = None,
) -> Applied:
    """`records` are the ids of the DifferentialRecords, by the records' keys.

    Commits nothing by itself. Counts are by action ("applied" in all), "converged" (alike
    already), "refused" and "changed_meanwhile".
    """
    return _Step(gathered, records, batch_name, run_id, by_id).applied()


class _Step:
    def __init__(
        self,
        gathered: Gathered,
        records: Mapping[Key, int],
        batch_name: str,
        run_id: Any,
        by_id: Any,
    ) -> None:
        self.entity: Entity = gathered.entity
        self.gathered = gathered
        self.records = records
        self.batch_name = batch_name
        self.run_id = run_id
        self.by_id = by_id
        self.result = Applied()
        self.left: dict[Key, Decided] = {}

    def applied(self) -> Applied:
        stale = staging.stage(self.gathered, self.records)
        for each in self.gathered.decided:
            record = self.records[each.key]
            is_stale = record in stale or each.key in self.gathered.stale
            if not is_stale or each.action is Action.SKIP:
                self.left[each.key] = each
            elif each.action is not Action.REVIEW:
                self._failed(record, CHANGED_MEANWHILE, "changed_meanwhile")
        self._converge()
        self._load()
        self._delete()
        self._change_mappings()
        self._take_back()
        staging.keep_changes(self.entity, run_id=self.run_id, by_id=self.by_id)
        written = [found.legacy_id for found in self.gathered.returned.values() if found.is_written]
        staging.keep_writes(self.entity, written, run_id=self.run_id, by_id=self.by_id)
        for each in self._take(Action.SKIP):
            text = _DONE[Action.SKIP]
            self.result.set(self.records[each.key], State.SKIPPED, text, Action.SKIP)
        return self.result

    # --- what the source has ------------------------------------------------------

    def _converge(self) -> None:
        """Both changed, but to the same: only the mapping doesn't know yet."""
        keys = [key for key, each in self.left.items() if each.difference.kind is Kind.BOTH_CHANGED]
        prepared = self._prepared(keys, with_refusals=False)
        if prepared is None or not prepared.lines:
            return
        write(prepared, batch_name=self.batch_name, keeps_changes=True)
        converged = self._refreshed(keys)
        self._execute(f"DELETE FROM {RECORDS} WHERE legacy_id = ANY(%s)", [converged])
        for key in converged:
            del self.left[key]
            self.result.set(self.records[key], State.RESOLVED, ALIKE, "converged")

    def _load(self) -> None:
        loads = [each for each in self.left.values() if each.action.loads]
        prepared = self._prepared([each.key for each in loads], with_refusals=True)
        refused: dict[Key, Refusal] = {}
        arrived: set[Key] = set()
        if prepared is not None:
            written = write(prepared, batch_name=self.batch_name)
            refused = {each.key: each for each in written.refusals}
            arrived.update(_key(line) for line in prepared.lines)
            arrived -= refused.keys()
        for each in loads:
            del self.left[each.key]
            record = self.records[each.key]
            if each.key in arrived:
                self._done(each)
            elif each.key in refused:
                why = "; ".join(map(str, refused[each.key].errors))
                self._failed(record, f"It is in quarantine: {why}", "refused")
            else:
                self._failed(record, _NOT_THERE, "changed_meanwhile")

    def _prepared(self, keys: Iterable[Key], *, with_refusals: bool) -> Prepared | None:
        """Of the batch that was read, these rows."""
        wanted = set(keys)
        batch = self.gathered.prepared
        if batch is None or not wanted:
            return None
        return replace(
            batch,
            lines=[line for line in batch.lines if _key(line) in wanted],
            refusals=[each for each in batch.refusals if each.key in wanted and with_refusals],
            keys=[key for key in batch.keys or () if key in wanted] if with_refusals else [],
        )

    def _refreshed(self, keys: list[Key]) -> list[Key]:
        """Those whose mapping is another than before."""
        return [
            key
            for (key,) in self._rows(
                f"SELECT r.legacy_id FROM {RECORDS} r JOIN {MAPPINGS} m ON m.entity_type = %s "
                "AND m.legacy_id = r.legacy_id WHERE r.legacy_id = ANY(%s) "
                "AND m.checksum <> r.mapping_before ->> 'checksum'",
                [self.entity.name, keys],
            )
        ]

    # --- what goes, and what is only noted ------------------------------------------

    def _delete(self) -> None:
        deletes = self._take(Action.DELETE_TARGET)
        uuids = {each.difference.uuid: each for each in deletes if each.difference.uuid}
        refused = deleting.delete(self.entity, list(uuids)) if uuids else {}
        for uuid, each in uuids.items():
            if uuid in refused:
                self._failed(self.records[each.key], refused[uuid], "refused")
            else:
                self._done(each)
        gone = [each for uuid, each in uuids.items() if uuid not in refused]
        self._remove_mappings(gone)

    def _change_mappings(self) -> None:
        accepted = self._take(Action.ACCEPT)
        if accepted:
            self._execute(
                f"UPDATE {MAPPINGS} m SET checksum = coalesce(r.source_checksum, %s), "
                "target_checksum = split_part(r.state, '/', 3) "
                f"FROM {RECORDS} r WHERE m.entity_type = %s AND m.legacy_id = r.legacy_id "
                f"AND r.action = '{Action.ACCEPT}'",
                [GONE, self.entity.name],
            )
        forgotten = self._take(Action.FORGET)
        self._remove_mappings(forgotten)
        for each in (*accepted, *forgotten):
            self._done(each)

    def _remove_mappings(self, records: Iterable[Decided]) -> None:
        keys = [key for each in records if (key := each.difference.legacy_id) is not None]
        if not keys:
            return
        self._execute(
            f"DELETE FROM {MAPPINGS} WHERE entity_type = %s AND legacy_id = ANY(%s)",
            [self.entity.name, keys],
        )
        transaction.on_commit(partial(_forget, self.entity.name, keys))

    # --- what went back to the source -------------------------------------------------

    def _take_back(self) -> None:
        returned = [
            (each, found)
            for each in list(self.left.values())
            if each.action.writes_source
            and (found := self.gathered.returned.get(each.key)) is not None
        ]
        self._keep_returned(found for _, found in returned if found.checksum is not None)
        for each, found in returned:
            del self.left[each.key]
            if found.checksum is None:
                record = self.records[each.key]
                self._failed(record, f"The source wasn't changed: {found.problem}", "refused")
            else:
                self._done(each)
        for each in [each for each in self.left.values() if each.action.writes_source]:
            del self.left[each.key]
            self._failed(self.records[each.key], CHANGED_MEANWHILE, "changed_meanwhile")

    def _keep_returned(self, returned: Iterable[Returned]) -> None:
        """The source has what the target had when it was given back, whatever it has by now."""
        rows = [each for each in returned if each.legacy_id is not None]
        gone = [each for each in rows if each.checksum == GONE]
        self._remove_returned([each.legacy_id for each in gone])
        kept = [each for each in rows if each.checksum != GONE]
        synced = self.gathered.synced
        if kept:
            self._execute(
                f"UPDATE {MAPPINGS} m SET checksum = n.checksum, "
                "target_checksum = coalesce(n.target_checksum, m.target_checksum), "
                "last_synced = n.last_synced, migration_batch = %s, "
                "migration_timestamp = statement_timestamp(), validation_status = 'pending' "
                "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) "
                "AS n (legacy_id, checksum, target_checksum, last_synced) "
                "WHERE m.entity_type = %s AND m.legacy_id = n.legacy_id",
                [
                    self.batch_name,
                    [each.legacy_id for each in kept],
                    [each.checksum for each in kept],
                    [each.target_checksum for each in kept],
                    [synced.get(key, "") for each in kept if (key := each.legacy_id) is not None],
                    self.entity.name,
                ],
            )

    def _remove_returned(self, keys: list[int | None]) -> None:
        """Not where the target has the row again: then the difference is found as one."""
        if not keys:
            return
        key = images.key_column(self.entity)
        self._execute(
            f"DELETE FROM {MAPPINGS} m WHERE m.entity_type = %s AND m.legacy_id = ANY(%s) "
            f"AND NOT EXISTS (SELECT FROM {images.table(self.entity)} t WHERE t.{key} = m.uuid_id)",
            [self.entity.name, keys],
        )
        transaction.on_commit(partial(_forget, self.entity.name, keys))

    # --- pieces -------------------------------------------------------------------------

    def _take(self, action: Action) -> list[Decided]:
        found = [each for each in self.left.values() if each.action is action]
        for each in found:
            del self.left[each.key]
        return found

    def _done(self, each: Decided) -> None:
        record = self.records[each.key]
        self.result.set(record, State.RESOLVED, _DONE[each.action], each.action.value)
        self.result.counts["applied"] += 1

    def _failed(self, record: int, text: str, count: str) -> None:
        self.result.set(record, State.FAILED, text, count)

    def _execute(self, statement: str, parameters: list[Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def _rows(self, statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()


def _key(line: str) -> int:
    return int(line[: line.index("\t")])


def _forget(entity: str, keys: Iterable[int | None]) -> None:
    for key in keys:
        if key is not None:
            lookup.forget(entity, key)
