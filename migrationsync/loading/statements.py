"""The SQL that takes an entity's staged rows into its table and the id mapping.

Each is one statement over the whole batch. Values are in the staging table; what stands in the
statements are names and literals, so none has parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import NOT_PROVIDED, UniqueConstraint

from migrationsync.checksums import target_sql
from migrationsync.columns import Family
from migrationsync.converters.base import literal
from migrationsync.entities import Entity, ForeignKey
from migrationsync.models import LegacyIdMapping
from migrationsync.names import quoted

STAGE = "migration_stage"
DEFAULTS = "migration_defaults"
# Its own columns end with an underscore: no field of Django's does.
_MAPPINGS = LegacyIdMapping._meta.db_table
# Defaults that are called, but give every row the same.
_CONSTANT = (dict, list, set, tuple, str, bytes, int, float, bool)
# A value that no other row has, of the `n`th row that needs one.
_PARKED: dict[Family, str] = {
    Family.TEXT: "left(replace(gen_random_uuid()::text, '-', ''), {length})",
    Family.UUID: "gen_random_uuid()",
    Family.INTEGER: "{most} - p.n",
    Family.DECIMAL: "({bound} - p.n)::numeric / {unit}",
    Family.DATE: "DATE '9999-12-31' - p.n::int",
    Family.INSTANT: "TIMESTAMPTZ '9999-12-31 00:00:00Z' - p.n * INTERVAL '1 second'",
}


def _name(name: str) -> str:
    return quoted(name, "postgresql")


@dataclass(frozen=True)
class Filled:
    """A column that the declaration says nothing about, and what a new row has in it: `sql`, or
    with `made_by` what is made for each row in Python."""

    column: str
    sql: str
    is_kept: bool
    made_by: models.Field[Any, Any] | None = None


@dataclass(frozen=True)
class Statements:
    entity: Entity
    connection: BaseDatabaseWrapper

    # --- staging ------------------------------------------------------------------

    @cached_property
    def create_stage(self) -> str:
        columns = ", ".join(
            f"{_name(name)} {'bigint' if self._is_key(name) else self._type(field)}"
            for name, field in self._fields.items()
        )
        return (
            f"CREATE TEMPORARY TABLE {STAGE} "
            f"(uuid_ uuid, key_ bigint, checksum_ text, {columns}, last_synced_ text) "
            "ON COMMIT DROP"
        )

    # By which a row finds its parent. A table that nobody has analysed says nothing of how many
    # rows have a key; UNIQUE does.
    index_stage = f"CREATE UNIQUE INDEX ON {STAGE} (key_)"
    drop_stage = f"DROP TABLE IF EXISTS pg_temp.{STAGE}"
    copy = f"COPY {STAGE} FROM STDIN"
    known_rows = property(
        lambda self: (
            f"SELECT count(*) FROM {_MAPPINGS} m WHERE {self._is_ours('m')} AND m.legacy_id "
            f"BETWEEN (SELECT min(key_) FROM {STAGE}) AND (SELECT max(key_) FROM {STAGE})"
        )
    )

    # --- refusing -------------------------------------------------------------------

    def failing(self, condition: str) -> str:
        """Takes the rows out for which `condition` isn't true; answers their keys."""
        return f"DELETE FROM {STAGE} WHERE ({condition}) IS NOT TRUE RETURNING key_"

    def dangling(self, *, to_the_row: bool, below: Iterable[int] | None = None) -> str:
        """Takes the rows out that point to a row that isn't there: (key, and for each foreign
        key its legacy key and whether it dangles). Of the children of `below` only, where given.

        A mapped row may be gone from the target: that is looked at with `to_the_row`. One that
        is staged isn't gone: it will be there.
        """
        joins: list[str] = []
        conditions = []
        for alias, name, column in self._keys:
            joins.append(self._key_join("LEFT", alias, name, column))
            found = f"{alias}.uuid_id"
            if to_the_row:
                parent = self._fields[name].related_model._meta
                joins.append(
                    f"LEFT JOIN {_name(parent.db_table)} {alias}_row "
                    f"ON {alias}_row.{_name(parent.pk.column)} = {alias}.uuid_id"
                )
                found = f"{alias}_row.{_name(parent.pk.column)}"
                if name in self.entity.own_keys:
                    found = f"coalesce({found}, {self._staged(name)})"
            is_allowed = f"s.{_name(name)} IS NOT NULL AND " if self._fields[name].null else ""
            conditions.append(f"({is_allowed}{found} IS NULL)")
        flags = ", ".join(
            f"s.{_name(name)} AS {alias}_key, {condition} AS {alias}_dangles"
            for (alias, name, _), condition in zip(self._keys, conditions, strict=True)
        )
        which = ""
        if below is not None:
            keys = _numbers(below)
            among = (f"s.{_name(name)} IN ({keys})" for name in self.entity.own_keys)
            which = f" AND ({' OR '.join(among)})"
        return (
            f"WITH bad AS (SELECT s.key_, {flags} FROM {STAGE} s {' '.join(joins)} "
            f"WHERE ({' OR '.join(conditions)}){which}), "
            f"gone AS (DELETE FROM {STAGE} s USING bad WHERE s.key_ = bad.key_) "
            "SELECT * FROM bad"
        )

    @cached_property
    def uniques(self) -> tuple[tuple[str, ...], ...]:
        """The fields that are unique together, where the declaration fills all of them and a
        null never is the same as another."""
        options = self.entity.target._meta
        found: list[tuple[str, ...]] = [
            (field.name,) for field in options.concrete_fields if field.unique
        ]
        found += [tuple(names) for names in options.unique_together]
        found += [
            tuple(each.fields)
            for each in options.constraints
            if isinstance(each, UniqueConstraint)
            and each.fields
            and each.condition is None
            and each.nulls_distinct is not False
        ]
        return tuple(names for names in found if set(names) <= set(self._fields))

    def claims(self, names: tuple[str, ...]) -> str:
        """The rows whose values another row has, or wants too: (key, the values as a text,
        whether they are refused, the key of the row that they wait for). Takes the refused out.

        Who has them in the target keeps them, unless it is staged itself and becomes another:
        that is who is waited for. Of several that want them the one with the least key gets them.
        """
        table, key = _name(self._options.db_table), _name(self._options.pk.column)
        values = [self._new_value(name) for name in names]
        # Of a foreign key the legacy key: the UUID says nothing to who reads the refusal.
        shown = ", ".join(f"s.{_name(name)}" for name in names)
        same = " AND ".join(
            f"t.{_name(self._fields[name].column)} = {value}"
            for name, value in zip(names, values, strict=True)
        )
        there = " AND ".join(f"{value} IS NOT NULL" for value in values)
        joins = " ".join(
            self._key_join("LEFT", alias, name, column)
            for alias, name, column in self._keys
            if name in names
        )
        return (
            f"WITH asked AS (SELECT s.key_, concat_ws(', ', {shown}) AS shown, "
            f"CASE WHEN t.{key} IS DISTINCT FROM k.uuid_id THEN t.{key} END AS holder, "
            f"row_number() OVER (PARTITION BY {', '.join(values)} "
            f"ORDER BY coalesce(t.{key} = k.uuid_id, false) DESC, s.key_) AS place "
            f"FROM {STAGE} s {self._known_join('LEFT')} {joins} "
            f"LEFT JOIN {table} t ON {same} WHERE {there}), "
            # A holder that stays has its own values: it is the first of those that want them.
            "claimed AS MATERIALIZED (SELECT a.key_, a.shown, "
            "a.place > 1 OR h_row.key_ IS NULL AS is_refused, h_row.key_ AS waits_for FROM asked a "
            f"LEFT JOIN {_MAPPINGS} h ON {self._is_ours('h')} AND h.uuid_id = a.holder "
            f"LEFT JOIN {STAGE} h_row ON h_row.key_ = h.legacy_id "
            "WHERE a.holder IS NOT NULL OR a.place > 1), "
            f"gone AS (DELETE FROM {STAGE} s USING claimed c "
            "WHERE s.key_ = c.key_ AND c.is_refused) "
            "SELECT * FROM claimed"
        )

    def take_out(self, keys: Iterable[int]) -> str:
        return f"DELETE FROM {STAGE} WHERE key_ IN ({_numbers(keys)})"

    def can_park(self, names: tuple[str, ...]) -> bool:
        return any(self._parked(name) for name in names)

    def park(self, names: tuple[str, ...], keys: Iterable[int]) -> str:
        """Frees the values that these known rows have in the target: PostgreSQL looks at a unique
        value row by row, so of two that swap theirs neither could be the first. They get other
        values, until they are stored; nobody else sees that."""
        name, parked = next((name, sql) for name in names if (sql := self._parked(name)))
        table, pk = _name(self._options.db_table), _name(self._options.pk.column)
        return (
            f"UPDATE {table} t SET {_name(self._fields[name].column)} = {parked} "
            f"FROM (SELECT h.uuid_id, row_number() OVER () AS n FROM {_MAPPINGS} h "
            f"WHERE {self._is_ours('h')} AND h.legacy_id IN ({_numbers(keys)})) p "
            f"WHERE t.{pk} = p.uuid_id"
        )

    def _parked(self, name: str) -> str:
        """SQL of a value that is free; empty where there is none for such a field."""
        field = self._fields[name]
        if field.null:
            return "NULL"
        family = Family.UUID if self._is_key(name) else self._families[name]
        form = _PARKED.get(family, "")
        if family is Family.INTEGER:
            ranges = BaseDatabaseOperations.integer_field_ranges
            _, most = ranges.get(field.get_internal_type(), (0, None))
            return form.format(most=most) if most is not None else ""
        if family is Family.DECIMAL:
            if field.max_digits is None:
                return ""
            return form.format(bound=10**field.max_digits, unit=10**field.decimal_places)
        return form.format(length=field.max_length or 32)

    # --- defaults -------------------------------------------------------------------

    @cached_property
    def made(self) -> tuple[Filled, ...]:
        """The columns of new rows that have to be made in Python, for each row."""
        return tuple(each for each in self._filled if each.made_by is not None)

    drop_defaults = f"DROP TABLE IF EXISTS pg_temp.{DEFAULTS}"
    copy_defaults = f"COPY {DEFAULTS} FROM STDIN"

    @property
    def create_defaults(self) -> str:
        columns = ", ".join(f"{each.column} {self._type(each.made_by)}" for each in self.made)
        return f"CREATE TEMPORARY TABLE {DEFAULTS} (uuid_ uuid, {columns}) ON COMMIT DROP"

    @property
    def new_rows(self) -> str:
        """The rows that the target hasn't, or no longer: (candidate key)."""
        table, pk = _name(self._options.db_table), _name(self._options.pk.column)
        return (
            f"SELECT s.uuid_::text FROM {STAGE} s {self._known_join('LEFT')} "
            f"LEFT JOIN {table} t ON t.{pk} = k.uuid_id WHERE t.{pk} IS NULL"
        )

    # --- storing --------------------------------------------------------------------

    def insert_new(self, batch: str, source_table: str, *, beside_known: bool) -> str:
        """Stores the rows that have no mapping, and their mappings."""
        conditions = self._resolved
        if beside_known:
            conditions = [
                *conditions,
                # A number, not NOT EXISTS: see _looked_up.
                f"(SELECT k.legacy_id FROM {_MAPPINGS} k WHERE {self._is_ours('k')} "
                "AND k.legacy_id = s.key_) IS NULL",
            ]
        pk = _name(self._options.pk.column)
        return (
            f"WITH written AS ({self._insert} "
            f"SELECT s.uuid_, {self._values()} FROM {STAGE} s {self._joins}{self._defaults_join}"
            f"{_where(conditions)} "
            f"RETURNING {pk} AS uuid_id, {target_sql(self.entity)} AS target_checksum) "
            f"INSERT INTO {_MAPPINGS} (id, entity_type, legacy_id, uuid_id, migration_batch, "
            "validation_status, source_table, target_table, checksum, target_checksum, "
            "last_synced, metadata) "
            f"SELECT s.uuid_, {literal(self.entity.name)}, s.key_, s.uuid_, "
            f"{literal(batch)}, 'pending', {literal(source_table)}, "
            f"{literal(self._options.db_table)}, s.checksum_, w.target_checksum, "
            "s.last_synced_, '{}' "
            f"FROM written w JOIN {STAGE} s ON s.uuid_ = w.uuid_id"
        )

    @cached_property
    def keep_changes(self) -> str:
        """Takes the rows out whose row in the target changed or went since it was last synced,
        unless it is as the source says now."""
        table, pk = _name(self._options.db_table), _name(self._options.pk.column)
        new = ", ".join(self._new_value(name) for name in self._fields)
        old = ", ".join(f"t.{_name(field.column)}" for field in self._fields.values())
        return (
            f"DELETE FROM {STAGE} WHERE key_ IN (SELECT s.key_ FROM {STAGE} s "
            f"{self._known_join('')} {self._joins} LEFT JOIN {table} t ON t.{pk} = k.uuid_id "
            f"WHERE t.{pk} IS NULL OR (k.target_checksum <> {target_sql(self.entity, 't.')} "
            f"AND ROW({old}) IS DISTINCT FROM ROW({new})))"
        )

    @cached_property
    def store_known(self) -> str:
        """Makes the rows that have a mapping as the source says: (rows that had gone from the
        target, rows changed). Others aren't touched."""
        table, pk = _name(self._options.db_table), _name(self._options.pk.column)
        new = ", ".join(self._new_value(name) for name in self._fields)
        old = ", ".join(f"t.{_name(field.column)}" for field in self._fields.values())
        sets = ", ".join(
            [
                *(
                    f"{_name(field.column)} = excluded.{_name(field.column)}"
                    for field in self._fields.values()
                ),
                *(f"{each.column} = {each.sql}" for each in self._filled if not each.is_kept),
            ]
        )
        conditions = [
            *self._resolved,
            f"(t.{pk} IS NULL OR ROW({old}) IS DISTINCT FROM ROW({new}))",
        ]
        return (
            f"WITH written AS ({self._insert} "
            f"SELECT k.uuid_id, {self._values(beside='t.')} "
            f"FROM {STAGE} s {self._known_join('')} {self._joins}{self._defaults_join}"
            f" LEFT JOIN {table} t ON t.{pk} = k.uuid_id{_where(conditions)} "
            f"ON CONFLICT ({pk}) DO UPDATE SET {sets} RETURNING xmax = 0 AS is_new) "
            "SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written"
        )

    def refresh_mappings(self, batch: str) -> str:
        """Stores the checksums of the rows that have a mapping, where they differ: (rows)."""
        table, pk = _name(self._options.db_table), _name(self._options.pk.column)
        is_another = (
            "(k.checksum, k.target_checksum) IS DISTINCT FROM "
            f"(s.checksum_, {target_sql(self.entity, 't.')})"
        )
        return (
            f"WITH now AS MATERIALIZED (SELECT k.id, s.checksum_ AS checksum, s.last_synced_, "
            f"{target_sql(self.entity, 't.')} AS target_checksum, {is_another} AS is_another "
            f"FROM {STAGE} s {self._known_join('')} {self._joins} "
            f"JOIN {table} t ON t.{pk} = k.uuid_id{_where(self._resolved)}), "
            f"changed AS (UPDATE {_MAPPINGS} m SET checksum = now.checksum, "
            f"target_checksum = now.target_checksum, last_synced = now.last_synced_, "
            f"migration_batch = {literal(batch)}, "
            "migration_timestamp = statement_timestamp(), validation_status = 'pending' "
            # The array has them looked up one by one: mostly few of the batch are others.
            "FROM now WHERE m.id = now.id AND now.is_another "
            "AND m.id = ANY (ARRAY(SELECT now.id FROM now WHERE now.is_another))) "
            "SELECT count(*) FROM now"
        )

    # --- pieces -----------------------------------------------------------------------

    @property
    def _options(self) -> Any:
        return self.entity.target._meta

    @cached_property
    def _fields(self) -> dict[str, Any]:
        return {name: self._options.get_field(name) for name in self.entity.columns}

    @cached_property
    def _families(self) -> dict[str, Family]:
        return {value.field: value.converter.makes for value in self.entity.values}

    def _is_key(self, name: str) -> bool:
        return isinstance(self.entity.columns[name], ForeignKey)

    def _type(self, field: Any) -> str:
        parameters = field.db_parameters(self.connection)
        collation = parameters.get("collation")
        return str(parameters["type"]) + (f" COLLATE {_name(collation)}" if collation else "")

    @cached_property
    def _keys(self) -> list[tuple[str, str, ForeignKey]]:
        """(alias of its mapping, field, declaration) of each foreign key."""
        return [
            (f"f{number}", name, column)
            for number, (name, column) in enumerate(self.entity.foreign_keys.items())
        ]

    def _is_ours(self, alias: str) -> str:
        return f"{alias}.entity_type = {literal(self.entity.name)}"

    def _known_join(self, kind: str) -> str:
        return _looked_up(kind, "k", f"{self._is_ours('k')} AND k.legacy_id = s.key_")

    def _key_join(self, kind: str, alias: str, name: str, column: ForeignKey) -> str:
        same = (
            f"{alias}.entity_type = {literal(column.entity)} "
            f"AND {alias}.legacy_id = s.{_name(name)}"
        )
        if name not in self.entity.own_keys:
            return _looked_up(kind, alias, same)
        # A new parent has no mapping before the statement that stores its children, too.
        mapped = f"(SELECT {alias}.uuid_id FROM {_MAPPINGS} {alias} WHERE {same} LIMIT 1)"
        return (
            f"{kind} JOIN LATERAL (SELECT coalesce({mapped}, {self._staged(name)}) AS uuid_id) "
            f"{alias} ON {alias}.uuid_id IS NOT NULL"
        )

    @staticmethod
    def _staged(name: str) -> str:
        """The candidate key of the row that a staged row points to, where that is staged too."""
        return f"(SELECT p.uuid_ FROM {STAGE} p WHERE p.key_ = s.{_name(name)})"

    @cached_property
    def _joins(self) -> str:
        return " ".join(
            self._key_join("LEFT" if self._fields[name].null else "", alias, name, column)
            for alias, name, column in self._keys
        )

    @cached_property
    def _resolved(self) -> list[str]:
        return [
            f"(s.{_name(name)} IS NULL OR {alias}.uuid_id IS NOT NULL)"
            for alias, name, _ in self._keys
            if self._fields[name].null
        ]

    def _new_value(self, name: str) -> str:
        alias = next((alias for alias, each, _ in self._keys if each == name), None)
        return f"{alias}.uuid_id" if alias else f"s.{_name(name)}"

    @cached_property
    def _insert(self) -> str:
        columns = ", ".join(
            [
                _name(self._options.pk.column),
                *(_name(field.column) for field in self._fields.values()),
                *(each.column for each in self._filled),
            ]
        )
        return f"INSERT INTO {_name(self._options.db_table)} ({columns})"

    def _values(self, beside: str = "") -> str:
        """`beside` is the prefix of the row that may be there already."""
        filled = [
            # The row that is there was made nothing for, and keeps its own.
            f"coalesce({each.sql}, {beside}{each.column})" if beside and each.made_by else each.sql
            for each in self._filled
        ]
        return ", ".join([*(self._new_value(name) for name in self._fields), *filled])

    @property
    def _defaults_join(self) -> str:
        return f" LEFT JOIN {DEFAULTS} d ON d.uuid_ = s.uuid_" if self.made else ""

    @cached_property
    def _filled(self) -> tuple[Filled, ...]:
        return tuple(self._fills())

    def _fills(self) -> Iterator[Filled]:
        """What Django would fill in Python: the database doesn't know of it."""
        for field in self._options.concrete_fields:
            if field.primary_key or field.name in self._fields or field.generated:
                continue
            column, kind = _name(field.column), self._type(field)
            if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
                yield Filled(column, f"statement_timestamp()::{kind}", not field.auto_now)
            elif field.db_default is NOT_PROVIDED and not (
                field.null and field.default is NOT_PROVIDED
            ):
                if callable(field.default) and field.default not in _CONSTANT:
                    yield Filled(column, f"d.{column}", True, made_by=field)
                else:
                    yield Filled(column, self._default(field, kind), True)

    def _default(self, field: models.Field[Any, Any], kind: str) -> str:
        value = field.get_db_prep_save(field.get_default(), self.connection)
        if value is None:
            return f"NULL::{kind}"
        # As psycopg writes it in a statement.
        with self.connection.cursor() as cursor:
            return f"{cursor.mogrify('%s', [value])}::{kind}"


def _looked_up(kind: str, alias: str, condition: str) -> str:
    """The join of each staged row with its mapping, by the mapping's index on legacy ids.

    LIMIT keeps it to that. Joined freely, a planner that has no statistics of a mapping just loaded
    takes an entity's part of it for tiny, and reads all of it for each batch, however small.
    """
    return (
        f"{kind} JOIN LATERAL (SELECT * FROM {_MAPPINGS} {alias} WHERE {condition} LIMIT 1) "
        f"{alias} ON true"
    )


def _numbers(keys: Iterable[int]) -> str:
    return ", ".join(str(int(key)) for key in keys)


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
