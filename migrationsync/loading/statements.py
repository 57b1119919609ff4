"""The SQL that takes an entity's staged rows into its table and the id mapping.

Each is one statement over the whole batch. Values are in the staging table; what stands in the
statements are names and literals, so none has parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import NOT_PROVIDED, UniqueConstraint

from migrationsync.checksums import quoted, target_sql
from migrationsync.converters.base import literal
from migrationsync.entities import Entity, ForeignKey
from migrationsync.models import LegacyIdMapping

STAGE = "migration_stage"
# Its own columns end with an underscore: no field of Django's does.
_MAPPINGS = LegacyIdMapping._meta.db_table


def _name(name: str) -> str:
    return quoted(name, "postgresql")


@dataclass(frozen=True)
class Filled:
    """A column that the declaration says nothing about, and what a new row has in it."""

    column: str
    sql: str
    is_kept: bool


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
            f"(uuid_ uuid, key_ bigint, checksum_ text, {columns}) ON COMMIT DROP"
        )

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

    def dangling(self, *, to_the_row: bool) -> str:
        """Takes the rows out that point to a row that isn't there: (key, and for each foreign
        key its legacy key and whether it dangles).

        A mapped row may be gone from the target: that is looked at with `to_the_row`.
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
            is_allowed = f"s.{_name(name)} IS NOT NULL AND " if self._fields[name].null else ""
            conditions.append(f"({is_allowed}{found} IS NULL)")
        flags = ", ".join(
            f"s.{_name(name)} AS {alias}_key, {condition} AS {alias}_dangles"
            for (alias, name, _), condition in zip(self._keys, conditions, strict=True)
        )
        return (
            f"WITH bad AS (SELECT s.key_, {flags} FROM {STAGE} s {' '.join(joins)} "
            f"WHERE {' OR '.join(conditions)}), "
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

    def duplicates(self, names: tuple[str, ...]) -> str:
        """Takes the rows out whose values another row has: (key, the values as a text).

        Who has them in the target keeps them; of several new rows the one with the least key
        gets them.
        """
        table, key = _name(self._options.db_table), _name(self._options.pk.column)
        values = [self._new_value(name) for name in names]
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
            f"WITH asked AS (SELECT s.key_, concat_ws(', ', {', '.join(values)}) AS shown, "
            f"t.{key} IS NOT NULL AND t.{key} IS DISTINCT FROM k.uuid_id AS is_taken, "
            f"row_number() OVER (PARTITION BY {', '.join(values)} "
            f"ORDER BY coalesce(t.{key} = k.uuid_id, false) DESC, s.key_) AS place "
            f"FROM {STAGE} s {self._known_join('LEFT')} {joins} "
            f"LEFT JOIN {table} t ON {same} WHERE {there}), "
            f"bad AS (SELECT key_, shown FROM asked WHERE is_taken OR place > 1), "
            f"gone AS (DELETE FROM {STAGE} s USING bad WHERE s.key_ = bad.key_) "
            "SELECT * FROM bad"
        )

    # --- storing --------------------------------------------------------------------

    def insert_new(self, batch: str, source_table: str, *, beside_known: bool) -> str:
        """Stores the rows that have no mapping, and their mappings."""
        conditions = self._resolved
        if beside_known:
            conditions = [
                *conditions,
                f"NOT EXISTS (SELECT FROM {_MAPPINGS} k WHERE {self._is_ours('k')} "
                "AND k.legacy_id = s.key_)",
            ]
        pk = _name(self._options.pk.column)
        return (
            f"WITH written AS ({self._insert} "
            f"SELECT s.uuid_, {self._values} FROM {STAGE} s {self._joins}{_where(conditions)} "
            f"RETURNING {pk} AS uuid_id, {target_sql(self.entity)} AS target_checksum) "
            f"INSERT INTO {_MAPPINGS} (id, entity_type, legacy_id, uuid_id, migration_batch, "
            "validation_status, source_table, target_table, checksum, target_checksum, metadata) "
            f"SELECT s.uuid_, {literal(self.entity.name)}, s.key_, s.uuid_, "
            f"{literal(batch)}, 'pending', {literal(source_table)}, "
            f"{literal(self._options.db_table)}, s.checksum_, w.target_checksum, '{{}}' "
            f"FROM written w JOIN {STAGE} s ON s.uuid_ = w.uuid_id"
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
            f"SELECT k.uuid_id, {self._values} FROM {STAGE} s {self._known_join('')} {self._joins}"
            f" LEFT JOIN {table} t ON t.{pk} = k.uuid_id{_where(conditions)} "
            f"ON CONFLICT ({pk}) DO UPDATE SET {sets} RETURNING xmax = 0 AS is_new) "
            "SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written"
        )

    def refresh_mappings(self, batch: str) -> str:
        """Stores the checksums of the rows that have a mapping, where they differ: (rows)."""
        table, pk = _name(self._options.db_table), _name(self._options.pk.column)
        return (
            f"WITH now AS MATERIALIZED (SELECT k.id, s.checksum_ AS checksum, "
            f"{target_sql(self.entity, 't.')} AS target_checksum "
            f"FROM {STAGE} s {self._known_join('')} {self._joins} "
            f"JOIN {table} t ON t.{pk} = k.uuid_id{_where(self._resolved)}), "
            f"changed AS (UPDATE {_MAPPINGS} m SET checksum = now.checksum, "
            f"target_checksum = now.target_checksum, migration_batch = {literal(batch)}, "
            "migration_timestamp = statement_timestamp(), validation_status = 'pending' "
            "FROM now WHERE m.id = now.id AND (m.checksum, m.target_checksum) "
            "IS DISTINCT FROM (now.checksum, now.target_checksum)) "
            "SELECT count(*) FROM now"
        )

    # --- pieces -----------------------------------------------------------------------

    @property
    def _options(self) -> Any:
        return self.entity.target._meta

    @cached_property
    def _fields(self) -> dict[str, Any]:
        return {name: self._options.get_field(name) for name in self.entity.columns}

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
        return f"{kind} JOIN {_MAPPINGS} k ON {self._is_ours('k')} AND k.legacy_id = s.key_"

    @staticmethod
    def _key_join(kind: str, alias: str, name: str, column: ForeignKey) -> str:
        return (
            f"{kind} JOIN {_MAPPINGS} {alias} ON {alias}.entity_type = {literal(column.entity)} "
            f"AND {alias}.legacy_id = s.{_name(name)}"
        )

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

    @cached_property
    def _values(self) -> str:
        return ", ".join(
            [*(self._new_value(name) for name in self._fields), *(f.sql for f in self._filled)]
        )

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
                yield Filled(column, self._default(field, kind), True)

    def _default(self, field: models.Field[Any, Any], kind: str) -> str:
        value = field.get_db_prep_save(field.get_default(), self.connection)
        if value is None:
            return f"NULL::{kind}"
        # As psycopg writes it in a statement.
        with self.connection.cursor() as cursor:
            return f"{cursor.mogrify('%s', [value])}::{kind}"


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
