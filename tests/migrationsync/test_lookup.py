from __future__ import annotations

import threading
import uuid

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationsync import lookup
from migrationsync.lookup import MappingCache
from migrationsync.models import LegacyIdMapping
from tests.factories.sync import MappingFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cache():
    return MappingCache(100)


def figures(cache):
    statistics = cache.statistics()
    return statistics["hits"], statistics["misses"], statistics["size"]


def test_uuid_that_was_found_is_not_asked_for_again(cache, django_assert_num_queries) -> None:
    mapping = MappingFactory()
    for queries in (1, 0):
        with django_assert_num_queries(queries):
            found = cache.uuids_of("offices", [mapping.legacy_id])
        assert found == {mapping.legacy_id: mapping.uuid_id}
    assert figures(cache) == (1, 1, 1)


def test_entities_do_not_share_ids(cache) -> None:
    mapping = MappingFactory()
    other = MappingFactory(entity_type="profiles", legacy_id=mapping.legacy_id)
    assert cache.uuids_of("offices", [mapping.legacy_id]) != cache.uuids_of(
        "profiles", [mapping.legacy_id]
    )
    assert cache.uuids_of("profiles", [mapping.legacy_id]) == {mapping.legacy_id: other.uuid_id}


def test_row_that_is_not_mapped_is_asked_for_again_until_it_is(cache) -> None:
    assert cache.uuids_of("offices", [7]) == {}
    mapping = MappingFactory(legacy_id=7)
    assert cache.uuids_of("offices", [7]) == {7: mapping.uuid_id}


def test_many_take_one_query_for_those_that_are_not_kept(cache, django_assert_num_queries) -> None:
    mappings = MappingFactory.create_batch(5)
    expected = {each.legacy_id: each.uuid_id for each in mappings}
    cache.uuids_of("offices", [mappings[0].legacy_id])
    with django_assert_num_queries(1) as asked:
        assert cache.uuids_of("offices", [*expected, 999_999, *expected]) == expected
    assert str(mappings[0].legacy_id) not in asked[0]["sql"].partition("IN")[2].split(", ")
    assert figures(cache) == (1, 1 + 5, 5)


def test_none_asked_for_takes_no_query(cache, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        assert cache.uuids_of("offices", []) == {}


def test_what_is_forgotten_is_asked_for_again(cache) -> None:
    mapping = MappingFactory()
    cache.uuids_of("offices", [mapping.legacy_id])
    LegacyIdMapping.objects.update(uuid_id=uuid.uuid4())
    cache.forget("offices", mapping.legacy_id)
    cache.forget("offices", 999_999)
    mapping.refresh_from_db()
    assert cache.uuids_of("offices", [mapping.legacy_id]) == {mapping.legacy_id: mapping.uuid_id}


def test_what_may_still_be_rolled_back_is_not_kept(cache) -> None:
    with transaction.atomic():
        mapping = MappingFactory()
        assert cache.uuids_of("offices", [mapping.legacy_id])
        transaction.set_rollback(True)
    assert cache.uuids_of("offices", [mapping.legacy_id]) == {}
    assert figures(cache) == (0, 2, 0)


def test_what_a_transaction_only_reads_is_kept(cache) -> None:
    mapping = MappingFactory()
    with transaction.atomic():
        cache.uuids_of("offices", [mapping.legacy_id])
    assert figures(cache) == (0, 1, 1)


def test_what_another_process_removed_is_found_out_in_time(cache, monkeypatch) -> None:
    monkeypatch.setattr(lookup, "KEPT_SECONDS", 0)
    cache = MappingCache(100)
    mapping = MappingFactory()
    assert cache.uuids_of("offices", [mapping.legacy_id])
    mapping.delete()
    assert cache.uuids_of("offices", [mapping.legacy_id]) == {}


def test_capacity_is_never_exceeded_and_the_latest_used_stay() -> None:
    cache = MappingCache(3)
    ids = [each.legacy_id for each in MappingFactory.create_batch(5)]
    for legacy_id in (*ids[:3], ids[0], *ids[3:]):
        cache.uuids_of("offices", [legacy_id])
        assert cache.statistics()["size"] <= 3
    before = cache.statistics()["hits"]
    cache.uuids_of("offices", [ids[0], ids[3], ids[4]])
    assert cache.statistics()["hits"] == before + 3


def test_more_than_it_can_keep_are_found_all_the_same() -> None:
    cache = MappingCache(3)
    mappings = MappingFactory.create_batch(8)
    found = cache.uuids_of("offices", [each.legacy_id for each in mappings])
    assert found == {each.legacy_id: each.uuid_id for each in mappings}
    assert cache.statistics()["size"] == 3


def test_cache_of_nothing_finds_and_keeps_nothing() -> None:
    cache = MappingCache(0)
    mapping = MappingFactory()
    for _ in range(2):
        assert cache.uuids_of("offices", [mapping.legacy_id])
    assert cache.statistics() == {
        "hits": 0,
        "misses": 2,
        "hit_rate": 0.0,
        "size": 0,
        "capacity": 0,
    }


def test_hit_rate_is_the_share_of_what_was_kept(cache) -> None:
    assert cache.statistics()["hit_rate"] == 0.0
    mapping = MappingFactory()
    for _ in range(4):
        cache.uuids_of("offices", [mapping.legacy_id])
    assert cache.statistics()["hit_rate"] == 0.75


def test_process_has_one_cache_of_the_size_that_is_set(settings) -> None:
    mapping = MappingFactory(entity_type="of this test")
    before = lookup.statistics()
    assert lookup.uuid_of("of this test", mapping.legacy_id) == mapping.uuid_id
    assert lookup.uuid_of("of this test", mapping.legacy_id) == mapping.uuid_id
    assert lookup.uuid_of("of this test", -1) is None
    assert lookup.uuid_of("of this test", -1) is None
    after = lookup.statistics()
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (1, 3)
    assert after["capacity"] == settings.SYNC_MAPPING_CACHE_SIZE
    lookup.forget("of this test", mapping.legacy_id)
    mapping.delete()
    assert lookup.uuid_of("of this test", mapping.legacy_id) is None


IDS = st.integers(1, 8)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("map"), IDS),
        st.tuples(st.just("remove"), IDS),
        st.tuples(st.just("ask"), st.lists(IDS, max_size=6)),
    ),
    max_size=12,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS, capacity=st.integers(0, 6))
def test_cache_says_what_the_table_says(actions, capacity, transactional_db) -> None:
    LegacyIdMapping.objects.all().delete()
    cache = MappingCache(capacity)
    for action, what in actions:
        if action == "map" and not LegacyIdMapping.objects.filter(legacy_id=what).exists():
            MappingFactory(legacy_id=what)
        elif action == "remove":
            LegacyIdMapping.objects.filter(legacy_id=what).delete()
            cache.forget("offices", what)
        elif action == "ask":
            table = LegacyIdMapping.objects.filter(legacy_id__in=what)
            assert cache.uuids_of("offices", what) == dict(
                table.values_list("legacy_id", "uuid_id")
            )
        assert cache.statistics()["size"] <= capacity


def test_threads_find_the_same_within_the_capacity() -> None:
    cache = MappingCache(10)
    expected = {each.legacy_id: each.uuid_id for each in MappingFactory.create_batch(30)}
    ids = list(expected)
    wrong = []

    def ask(offset):
        try:
            for round_ in range(20):
                some = [ids[(offset + round_ * 7 + step) % len(ids)] for step in range(5)]
                if cache.uuids_of("offices", some) != {each: expected[each] for each in some}:
                    wrong.append(some)
                if round_ % 5 == 0:
                    cache.forget("offices", some[0])
                if cache.statistics()["size"] > 10:
                    wrong.append("size")
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=[each * 3]) for each in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    statistics = cache.statistics()
    assert statistics["hits"] + statistics["misses"] == 6 * 20 * 5
