"""Lists, from the source's own kind of them to PostgreSQL's arrays, and back."""

# ruff: noqa: DJ008 - nobody is shown one of them

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import models

from migrationsync.columns import Family
from migrationsync.comparing import explain
from migrationsync.converters import Array, Converter
from migrationsync.entities import Column, Entity
from migrationsync.identifiers import uuid7
from migrationsync.models import AppliedChange, LegacyIdMapping, QuarantinedRow
from migrationsync.services.decisions import undo
from tests.migrationsync.people import People
from tests.migrationsync.syncing import sync
from tests.migrationsync.trees import declared

NUMBERS = {"postgresql": "integer[]", "mysql": "json", "sqlite": "json"}
LABELS = {"postgresql": "text[]", "mysql": "longtext", "sqlite": "text"}
ODD = ["a,b", 'q"uo\\te', "{}", "ünï", "NULL", "", "tab\tnl\nend", "\\N"]

WORDS = ["to", "be", "or"]


class Poem(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    numbers = ArrayField(models.IntegerField(), null=True)
    labels = ArrayField(models.CharField(max_length=20))
    words = ArrayField(models.CharField(max_length=20), default=list)

    class Meta:
        app_label = "shelf"


@dataclass(frozen=True)
class Backwards(Converter):
    """Somebody's own, which makes a list."""

    reads = frozenset({Family.TEXT})
    makes = Family.OTHER
    fits = (ArrayField,)

    def convert(self, value: Any) -> list[str]:
        return value.split()[::-1]


def poems(**columns) -> Entity:
    usual = {
        "numbers": Column(),
        "labels": Column(null_as=[]),
        "words": Column(converter=Array(separator=","), null_as=[]),
    }
    return Entity(
        name="people", source="poem", target=Poem, script="x", columns={**usual, **columns}
    )


@pytest.fixture
def made(db, source, run):
    run(
        f"CREATE TABLE poem (id integer NOT NULL PRIMARY KEY, numbers {NUMBERS[source.vendor]}, "
        f"labels {LABELS[source.vendor]}, words varchar(40))"
        + (" DEFAULT CHARSET utf8mb4" if source.vendor == "mysql" else "")
    )
    return People(source, run)


@pytest.fixture
def loaded(made, source, run):
    add(source, run, 1, numbers=[1, None, 3], labels=ODD, words="to, be,or")
    add(source, run, 2, numbers=[], labels=["x"], words="")
    add(source, run, 3)
    with declared(poems()):
        sync(made.job(), "load")
        yield made


def add(source, run, key, *, numbers=None, labels=None, words=None):
    if source.vendor != "postgresql":
        numbers, labels = (None if each is None else json.dumps(each) for each in (numbers, labels))
    run("INSERT INTO poem VALUES (%s, %s, %s, %s)", [key, numbers, labels, words])


def target(key) -> Any:
    mapping = LegacyIdMapping.objects.get(entity_type="people", legacy_id=key)
    return Poem.objects.filter(pk=mapping.uuid_id)


def values(key):
    return target(key).values_list("numbers", "labels", "words").get()


def in_source(loaded, key):
    [row] = loaded.run("SELECT numbers, labels, words FROM poem WHERE id = %s", [key])
    if loaded.source.vendor == "postgresql":
        return list(row)
    return [*(json.loads(each) for each in row[:2]), row[2]]


def test_lists_come_over_whatever_the_source_has_them_in(loaded) -> None:
    assert values(1) == ([1, None, 3], ODD, ["to", "be", "or"])
    assert values(2) == ([], ["x"], [])
    assert values(3) == (None, [], [])
    assert loaded.outcomes(sync(loaded.job(), "compare")) == []
    again = sync(loaded.job(), "load")
    assert again.counts == {"unchanged": 3}


def test_lists_go_back_and_are_undone(loaded) -> None:
    before = in_source(loaded, 1)
    target(1).update(numbers=[7, None], labels=["x,y", '"', "\\N"], words=["or", "not"])
    new = Poem.objects.create(numbers=None, labels=["z"], words=["new"])
    job = loaded.both_ways()

    run = sync(job, "sync")

    assert {state for state, _ in loaded.outcomes(run)} == {"resolved"}
    assert in_source(loaded, 1) == [[7, None], ["x,y", '"', "\\N"], "or,not"]
    assert loaded.outcomes(sync(job, "sync")) == []
    mapping = LegacyIdMapping.objects.get(uuid_id=new.pk)
    assert loaded.run("SELECT words FROM poem WHERE id = %s", [mapping.legacy_id]) in (
        [("new",)],
        (("new",),),
    )
    undo(AppliedChange.objects.get(legacy_id=1), by=None)
    assert in_source(loaded, 1) == before


def test_lists_are_explained(loaded) -> None:
    target(1).update(numbers=[2])
    table = loaded.source.check([poems()])["people"]
    found = explain(poems(), loaded.source, table, 1)
    assert found.last_synced == {"numbers": [1, None, 3], "labels": ODD, "words": WORDS}
    assert (found.legacy["numbers"], found.current["numbers"]) == ([1, None, 3], [2])
    assert found.differing == ("numbers",)


def test_item_that_is_refused_is_named(made, source, run) -> None:
    add(source, run, 1, numbers=[1, 2**31 - 1], labels=["x" * 21], words="a")
    with declared(poems()):
        sync(made.job(), "load")
    [row] = QuarantinedRow.objects.all()
    [reason] = row.reasons
    assert (reason["column"], reason["problem"]) == (
        "labels",
        "(item 1) is longer than 20 characters",
    )


def test_list_of_a_converter_of_ones_own_is_stored(made, source, run) -> None:
    add(source, run, 1, labels=["x"], words='be "to')
    with declared(poems(words=Column(converter=Backwards()))):
        sync(made.job(), "load")
        assert values(1) == (None, ["x"], ['"to', "be"])
