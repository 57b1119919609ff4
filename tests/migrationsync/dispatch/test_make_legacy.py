from __future__ import annotations

import collections
import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from migrationsync.dispatch.legacy.making import make_legacy
from migrationsync.dispatch.legacy.rows import LONG_TEXT
from migrationsync.dispatch.legacy.tables import TABLES
from migrationsync.entities import RowError, entities

SMALL = 0.001


def everything(source):
    """Every row as it is read for its entity, by entity."""
    ordered = entities.in_order()
    tables = source.check(ordered)
    return {
        entity.name: [
            row
            for batch in source.batches(tables[entity.name], entity.reads, size=200)
            for row in batch.rows
        ]
        for entity in ordered
    }


@pytest.fixture
def made(source):
    make_legacy(source.alias, scale=SMALL)
    return everything(source)


def converted(rows):
    """The rows as they become, and how often which column refuses."""
    good, bad = {}, collections.Counter()
    for name, found in rows.items():
        entity = entities.get(name)
        good[name] = []
        for row in found:
            try:
                good[name].append(entity.convert(row))
            except RowError as error:
                bad.update((name, each.column) for each in error.errors)
    return good, bad


def test_scale_1_has_1_200_000_rows() -> None:
    assert sum(table.rows(1) for table in TABLES) == 1_200_000


def test_tables_are_as_the_entities_declare(source, made) -> None:
    assert {name: len(rows) for name, rows in made.items()} == {
        "offices": 3,
        "profiles": 20,
        "doctors": 15,
        "patients": 165,
        "orders": 400,
        "products": 600,
    }


# One seed's rows, whichever engine they come from; filled by the first.
_seen: list[object] = []


def test_rows_become_the_same_from_every_engine(source, made) -> None:
    _seen.append(converted(made))
    assert _seen[-1] == _seen[0]


def test_same_seed_makes_the_same_rows_and_another_others(source, made) -> None:
    make_legacy(source.alias, scale=SMALL)
    assert everything(source) == made
    make_legacy(source.alias, scale=SMALL, seed=2)
    assert everything(source) != made


def test_refused_rows_are_few_and_of_every_kind(source, made) -> None:
    good, bad = converted(made)
    assert set(bad) == {
        ("profiles", "email"),
        ("profiles", "role_code"),
        ("profiles", "prefs"),
        ("patients", "email"),
        ("patients", "phone"),
        ("patients", "born"),
        ("orders", "state"),
        # It was shipped before it was placed.
        ("orders", ""),
        ("products", "qty"),
    }
    assert sum(bad.values()) < 20
    assert len(good["products"]) == 599


def test_awkward_rows_are_there(source, made) -> None:
    offices, doctors, patients = (made[name] for name in ("offices", "doctors", "patients"))
    licences = [str(row[2]).strip() for row in doctors]
    assert len(set(licences)) == len(licences) - 1
    known = {row[0] for row in doctors}
    assert [row[0] for row in patients if row[1] not in known] != []
    assert max(len(row[6] or "") for row in patients) > LONG_TEXT // 2
    assert any(name != name.strip() for _, _, name, *_ in patients)
    assert {row[5] for row in offices} & {"Y", "N", "y", None}
    times = [str(row[-2])[:16].replace("T", " ") for rows in made.values() for row in rows]
    assert {"2024-03-31 02:30", "2024-10-27 02:30"} <= set(times)


def test_some_rows_are_deleted(source, made) -> None:
    table = source.table("dispatch_order")
    rows = source.read(table, ["id", "deleted"], limit=1000).rows
    deleted = sum(entities.get("orders").is_deleted(mark) for _, mark in rows)
    assert 0 < deleted < 40


# --- the command -----------------------------------------------------------------


def command(source, *arguments) -> str:
    out = io.StringIO()
    call_command(
        "make_legacy", "--scale", SMALL, "--database", source.alias, *arguments, stdout=out
    )
    return out.getvalue()


def test_command_says_what_it_made(source) -> None:
    said = command(source)
    assert "dispatch_product        600 rows" in said
    assert "Made 1,203 rows" in said


def test_command_makes_anew_what_it_made(source) -> None:
    command(source)
    command(source)
    assert source.count(source.table("dispatch_order")) == 400


def test_command_leaves_what_others_made(source, run) -> None:
    run("CREATE TABLE dispatch_order (id integer PRIMARY KEY)")
    with pytest.raises(CommandError, match=r"dispatch_order already.*--replace"):
        command(source)
    assert source.table("dispatch_office") is None
    command(source, "--replace")
    assert source.count(source.table("dispatch_order")) == 400


def test_command_without_a_legacy_database_says_what_to_set() -> None:
    with pytest.raises(CommandError, match="LEGACY_DATABASE_URL"):
        call_command("make_legacy", "--database", "nowhere")


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "-inf", "1e308"])
def test_command_without_a_scale_of_sense_says_what_is(scale) -> None:
    with pytest.raises(CommandError, match="above 0, and 1,000 at most"):
        call_command("make_legacy", f"--scale={scale}", "--database", "default")


@pytest.mark.django_db
@pytest.mark.parametrize("more", [[], ["--replace"]])
def test_command_never_writes_into_the_target(more) -> None:
    before = connection.introspection.table_names()
    with pytest.raises(CommandError, match=r"is migrated into.*LEGACY_DATABASE_URL"):
        call_command("make_legacy", "--scale=0.001", "--database=default", *more)
    assert connection.introspection.table_names() == before


def test_command_knows_a_target_by_its_tables(source, run) -> None:
    run("CREATE TABLE legacy_id_mappings (id integer)")
    with pytest.raises(CommandError, match=f"“{source.alias}” is one that"):
        command(source, "--replace")
    assert source.table("dispatch_office") is None
