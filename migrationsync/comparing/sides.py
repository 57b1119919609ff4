"""What each side is asked: the legacy table, and the id mapping with the target beside it.

Every statement looks at a bounded range of keys, so that each is short and none holds much.
Owns the SQL; what follows from the answers is `differential`'s.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection, transaction

from migrationsync.checksums import source_sql, target_sql
from migrationsync.comparing import dialect
from migrationsync.deleted import deleted_sql
from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping, QuarantinedRow
from migrationsync.names import quoted, quoted_table
from migrationsync.source import Source, Table

NO_SETTINGS: Mapping[str, str] = {}
GONE = LegacyIdMapping.GONE


class Keys(NamedTuple):
    """Keys that are really there: the first, the last, and how many."""

    first: int
    last: int
    rows: int


class Group(NamedTuple):
    """Neighbouring rows: how many, the sum of their checksums, and their keys' range.

    `changed`: of how many the row in the target isn't as it was, where that was looked at.
    """

    rows: int
    total: int
    first: int
    last: int
    changed: int = 0


Groups = dict[int, Group]
# Ranges of keys, both ends included.
Ranges = Sequence[tuple[int, int]]


class TargetState(enum.StrEnum):
    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"


class Stored(NamedTuple):
    """What the mapping says of a legacy row. `target_is_gone`: it was accepted that the target
    has none."""

    checksum: str
    uuid: uuid.UUID
    target_is_gone: bool


class TargetChange(NamedTuple):
    """What became of a mapped row in the target. `source_is_gone`: it was accepted that the
    source has none, and not only a key reserved for a row that is to be added there."""

    state: TargetState
    uuid: uuid.UUID
    source_is_gone: bool


@dataclass(frozen=True)
class Mapped:
    """What the mapping says of a legacy row, with the state of the row in the target."""

    stored: Stored
    target: TargetState


class SourceSide:
    """The legacy table. A row that is marked as deleted counts as gone.

    Every method raises SourceUnreachable.
    """

    def __init__(self, entity: Entity, source: Source, table: Table) -> None:
        vendor = source.vendor
        self.vendor = vendor
        self.key = quoted(entity.key, vendor)
        self.checksum = source_sql(entity, table, vendor)
        self.deleted = deleted_sql(entity, table, vendor)
        self._source = source
        self._table = quoted_table(table.name, vendor)
        self._live = f" AND NOT ({self.deleted})" if self.deleted else ""

    def keys(self, after: int | None, limit: int) -> Keys | None:
        """The next `limit` keys behind `after`, those of deleted rows too; None: no more."""
        where = "" if after is None else f"WHERE {self.key} > {after:d} "
        return _keys(
            self._asked(
                f"SELECT min(k), max(k), count(*) FROM (SELECT {self.key} AS k FROM {self._table} "
                f"{where}ORDER BY {self.key} LIMIT {limit:d}) AS next_keys"
            )
        )

    def groups(self, first: int, last: int, width: int) -> Groups:
        return _groups(
            self._asked(
                f"SELECT {dialect.group(self.vendor, self.key, width)}, count(*), "
                f"min({self.key}), max({self.key}), {dialect.sums(self.vendor, self.checksum)} "
                f"FROM {self._table} WHERE {_within(self.key, [(first, last)])}{self._live} "
                "GROUP BY 1",
                settings=dialect.SUMMING,
            )
        )

    def checksums(self, ranges: Ranges) -> dict[int, str]:
        rows = self._asked(
            f"SELECT {self.key}, {self.checksum} FROM {self._table} "
            f"WHERE {_within(self.key, ranges)}{self._live}"
        )
        return {int(key): checksum for key, checksum in rows}

    def changed(
        self, column: str, since: str, after: tuple[str, int] | None, limit: int
    ) -> list[tuple[int, str | None, str]]:
        """The next rows whose `column` is `since` or later, in its order: the key, the checksum
        (None: marked as deleted), and the column's text. `after`: the last one's, and its key."""
        name = quoted(column, self.vendor)
        text = {"postgresql": f"{name}::text", "mysql": f"cast({name} AS char)"}.get(
            self.vendor, f"cast({name} AS text)"
        )
        checksum = self.checksum
        if self.deleted:
            checksum = f"CASE WHEN NOT ({self.deleted}) THEN {checksum} END"
        found = f"SELECT {self.key}, {checksum}, {text} FROM {self._table}".replace("%", "%%")
        name, own_key = name.replace("%", "%%"), self.key.replace("%", "%%")
        where, parameters = f"{name} >= %s", [since]
        if after is not None:
            at, key = after
            where = f"{name} >= %s AND ({name} > %s OR {own_key} > {key:d})"
            parameters = [at, at]
        rows = self._asked(
            f"{found} WHERE {where} ORDER BY {name}, {own_key} LIMIT {limit:d}", parameters
        )
        return [(int(key), checksum, at) for key, checksum, at in rows]

    def _asked(
        self,
        statement: str,
        parameters: Sequence[Any] | None = None,
        *,
        settings: Mapping[str, str] = NO_SETTINGS,
    ) -> list[Any]:
        with self._source.session() as session:
            dialect.prepare(session)
            with dialect.planned(session, settings), session.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall()


class StoredSide:
    """What was stored when the two were last made alike, and the target as it is now."""

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self._mapping = LegacyIdMapping._meta.db_table
        options = entity.target._meta
        self._target = connection.ops.quote_name(options.db_table)
        key = options.pk.column if options.pk else None
        self._id = "t." + connection.ops.quote_name(key or "id")
        checksum = target_sql(entity, "t.").replace("%", "%%")
        # A row that is gone is no difference where that was accepted.
        self._state = (
            f"CASE WHEN {self._id} IS NULL THEN "
            f"CASE m.target_checksum WHEN '{GONE}' THEN '{TargetState.SAME}' "
            f"ELSE '{TargetState.GONE}' END "
            f"WHEN m.target_checksum <> {checksum} THEN '{TargetState.CHANGED}' "
            f"ELSE '{TargetState.SAME}' END"
        )

    def keys(self, after: int | None, limit: int) -> Keys | None:
        where = "" if after is None else f"AND legacy_id > {after:d} "
        return _keys(
            self._asked(
                "SELECT min(k), max(k), count(*) FROM (SELECT legacy_id AS k "
                f"FROM {self._mapping} WHERE entity_type = %s {where}"
                f"ORDER BY legacy_id LIMIT {limit:d}) AS next_keys"
            )
        )

    def groups(self, first: int, last: int, width: int, *, with_target: bool) -> Groups:
        """In one pass over the mapping; the target is looked at beside it."""
        alive = f"FILTER (WHERE m.checksum <> '{GONE}')"
        changed, target, settings = "0", "", dialect.SUMMING
        if with_target:
            changed = f"count(*) FILTER (WHERE {self._state} <> '{TargetState.SAME}')"
            target = f"LEFT JOIN {self._target} t ON {self._id} = m.uuid_id"
            settings = dialect.SUMMING | dialect.LOOKING_UP
        rows = self._asked(
            f"SELECT {dialect.group('postgresql', 'm.legacy_id', width)}, count(*) {alive}, "
            f"min(m.legacy_id), max(m.legacy_id), {changed}, "
            f"coalesce({dialect.sums('postgresql', 'm.checksum')} {alive}, 0) "
            f"FROM {self._mapping} m {target} WHERE m.entity_type = %s "
            f"AND {_within('m.legacy_id', [(first, last)])} GROUP BY 1",
            settings=settings,
        )
        return {
            number: Group(count, int(total), low, high, changed)
            for number, count, low, high, changed, total in rows
        }

    def checksums(self, ranges: Ranges) -> dict[int, Stored]:
        rows = self._asked(
            f"SELECT legacy_id, checksum, uuid_id, target_checksum = '{GONE}' "
            f"FROM {self._mapping} WHERE entity_type = %s AND {_within('legacy_id', ranges)}"
        )
        return {key: Stored(*stored) for key, *stored in rows}

    def target_differences(self, ranges: Ranges) -> dict[int, TargetChange]:
        """The mapped rows whose row in the target changed, or is gone."""
        rows = self._asked(
            f"SELECT * FROM (SELECT m.legacy_id, {self._state} AS state, m.uuid_id, "
            f"m.checksum = '{GONE}' AND m.target_checksum <> '{GONE}' FROM {self._mapping} m "
            f"LEFT JOIN {self._target} t ON {self._id} = m.uuid_id "
            f"WHERE m.entity_type = %s AND {_within('m.legacy_id', ranges)}) AS found "
            f"WHERE state <> '{TargetState.SAME}'",
            settings=dialect.LOOKING_UP,
        )
        return {
            key: TargetChange(TargetState(state), uuid_id, source_is_gone)
            for key, state, uuid_id, source_is_gone in rows
        }

    def mapped(self, keys: Sequence[int]) -> dict[int, Mapped]:
        rows = self._asked(
            f"SELECT m.legacy_id, m.checksum, m.uuid_id, m.target_checksum = '{GONE}', "
            f"{self._state} FROM {self._mapping} m "
            f"LEFT JOIN {self._target} t ON {self._id} = m.uuid_id "
            "WHERE m.entity_type = %s AND m.legacy_id = ANY(%s)",
            list(keys),
        )
        return {key: Mapped(Stored(*stored), TargetState(state)) for key, *stored, state in rows}

    def quarantined(self, keys: Sequence[int]) -> set[int]:
        return set(
            QuarantinedRow.objects.filter(
                entity_type=self.entity.name, legacy_id__in=keys, resolved_at=None
            ).values_list("legacy_id", flat=True)
        )

    def extras(self, after: str | None, limit: int) -> tuple[list[uuid.UUID], int, str | None]:
        """Of the next `limit` rows of the target those that aren't mapped, how many there were,
        and the last one's key (None: no more)."""
        behind = "TRUE" if after is None else f"{self._id} > %s::uuid"
        bound = [] if after is None else [after]
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT count(*), (array_agg(id))[count(*)] FROM (SELECT {self._id} AS id "
                f"FROM {self._target} t WHERE {behind} ORDER BY {self._id} LIMIT %s) AS next_keys",
                [*bound, limit],
            )
            rows, last = cursor.fetchone()
            if not rows:
                return [], 0, None
        # The range a second time: the planner doesn't carry it over to the mapping.
        mapped = behind.replace(self._id, "m.uuid_id")
        with (
            transaction.atomic(),
            dialect.planned(connection, dialect.SIDE_BY_SIDE),
            connection.cursor() as cursor,
        ):
            cursor.execute(
                f"SELECT {self._id} FROM {self._target} t WHERE {behind} AND {self._id} <= %s "
                f"AND NOT EXISTS (SELECT FROM {self._mapping} m WHERE m.entity_type = %s "
                f"AND m.uuid_id = {self._id} AND {mapped} AND m.uuid_id <= %s) "
                f"ORDER BY {self._id}",
                [*bound, last, self.entity.name, *bound, last],
            )
            found = [row[0] for row in cursor.fetchall()]
        return found, rows, str(last) if rows == limit else None

    def _asked(
        self, statement: str, *parameters: Any, settings: Mapping[str, str] = NO_SETTINGS
    ) -> list[Any]:
        with (
            transaction.atomic(),
            dialect.planned(connection, settings),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, [self.entity.name, *parameters])
            return cursor.fetchall()


def _within(key: str, ranges: Ranges) -> str:
    return (
        "(" + " OR ".join(f"{key} BETWEEN {first:d} AND {last:d}" for first, last in ranges) + ")"
    )


def _keys(rows: list[Any]) -> Keys | None:
    [(first, last, count)] = rows
    return Keys(int(first), int(last), count) if count else None


def _groups(rows: list[Any]) -> Groups:
    return {
        int(number): Group(count, dialect.total(sums), int(first), int(last))
        for number, count, first, last, *sums in rows
    }
