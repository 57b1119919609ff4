"""Targets that keep the source's key in a field of their own, and several fields of one column."""

from __future__ import annotations

import pytest

from migrationsync.models import DataDifferential
from tests.migrationsync.people import FOLDED, NUMBERED, People, Person, entity
from tests.migrationsync.syncing import sync
from tests.migrationsync.trees import declared


@pytest.fixture
def people(db, source, run):
    return People(source, run)


@pytest.fixture
def numbered(people):
    with declared(entity(NUMBERED)):
        people.add(3, "Ada")
        people.add(7, "Grace")
        sync(people.job(), "load")
        yield people


@pytest.fixture
def folded(people):
    with declared(entity(FOLDED)):
        people.add(3, "Ada")
        people.add(7, "Grace")
        sync(people.job(), "load")
        yield people


def differing(run):
    return DataDifferential.objects.filter(checkpoint__run=run).count()


# --- the key ------------------------------------------------------------------------


def test_key_is_kept_by_the_target(numbered) -> None:
    assert dict(Person.objects.values_list("legacy_number", "name")) == {3: "Ada", 7: "Grace"}
    assert differing(sync(numbered.job(), "compare")) == 0


def test_row_with_its_key_goes_back_and_keeps_it(numbered) -> None:
    numbered.target(3).update(name="Ada L", legacy_number=99)
    numbered.target(7).update(legacy_number=None)
    job = numbered.both_ways()

    run = sync(job, "sync")

    assert {state for state, _ in numbered.outcomes(run)} == {"resolved"}
    assert numbered.in_source() == {3: "Ada L", 7: "Grace"}
    assert numbered.target(3).get().legacy_number == 3
    assert numbered.target(7).get().legacy_number == 7
    assert differing(sync(job, "sync")) == 0


def test_new_row_is_told_the_key_that_the_source_gave(numbered) -> None:
    new = [Person.objects.create(name=name) for name in ("Jean", "Mary")]
    stray = Person.objects.create(name="Rosa", legacy_number=3_000)
    job = numbered.both_ways()

    run = sync(job, "sync")

    assert {state for state, _ in numbered.outcomes(run)} == {"resolved"}
    keys = {name: key for key, name in numbered.in_source().items()}
    assert set(keys) == {"Ada", "Grace", "Jean", "Mary", "Rosa"}
    for row in (*new, stray):
        row.refresh_from_db()
        assert row.legacy_number == keys[row.name]
    assert differing(sync(job, "sync")) == 0


def test_key_that_the_target_does_not_take_leaves_no_row_behind(numbered) -> None:
    given = {"postgresql": 1_000}.get(numbered.source.vendor, 8)
    Person.objects.create(name="Jean")
    Person.objects.create(name="Rosa", legacy_number=given)
    job = numbered.both_ways()

    told = dict(numbered.outcomes(sync(job, "sync")))

    assert f"its key {given} can't be stored in legacy_number: duplicate key" in told["failed"]
    assert sorted(numbered.in_source().values()) == ["Ada", "Grace", "Rosa"]
    # By now Rosa has a key of its own.
    assert [state for state, _ in numbered.outcomes(sync(job, "sync"))] == ["resolved"]
    assert sorted(numbered.in_source().values()) == ["Ada", "Grace", "Jean", "Rosa"]
    assert differing(sync(job, "sync")) == 0


# --- several fields of one column -----------------------------------------------------


def test_fields_of_one_column_that_agree_go_back(folded) -> None:
    folded.target(3).update(name="Ada L", search="ada l")
    folded.target(7).update(name="GRACE")
    Person.objects.create(name="Jean B", search="jean b")
    job = folded.both_ways()

    run = sync(job, "sync")

    assert {state for state, _ in folded.outcomes(run)} == {"resolved"}
    assert sorted(folded.in_source().values()) == ["Ada L", "GRACE", "Jean B"]
    assert differing(sync(job, "sync")) == 0


def test_fields_of_one_column_that_disagree_are_refused(folded) -> None:
    folded.target(3).update(search="byron")
    folded.target(7).update(name="Hopper")
    Person.objects.create(name="Jean B", search="jb")

    run = sync(folded.both_ways(), "sync")

    told = folded.outcomes(run)
    assert [state for state, _ in told] == ["failed"] * 3
    assert all("several fields are read from it" in outcome for _, outcome in told)
    assert folded.in_source() == {3: "Ada", 7: "Grace"}


def test_field_that_cannot_go_back_is_told_with_its_own_reason(folded) -> None:
    folded.target(3).update(name=" Ada", search=" ada")

    [(state, why)] = folded.outcomes(sync(folded.both_ways(), "sync"))

    assert state == "failed"
    assert "it would be read again as" in why
