"""A chunk reads what it returns and no more, whatever the planner believes."""

import json

import pytest
from django.db import connection

from content.synthetic import make_episode
from duplication.copying import chunk_sql
from duplication.levels import by_stage
from duplication.services import start_duplication
from duplication.walk import SESSION, plan_for_walking, walk_sql
from tests.duplication.driving import run_stage

pytestmark = pytest.mark.django_db
SIZE = 50


@pytest.fixture(params=[False, True], ids=["balanced", "skewed"])
def started(request):
    """Parts and items are copied; the id map's statistics know only earlier copies."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO id_map (duplication_id, type, org_id, new_id, has_link)"
            " SELECT 999999, 'item', n, n, false FROM generate_series(1, 20000) AS n"
        )
        cursor.execute("ANALYZE id_map")
    episode = make_episode(parts=4, items=25, blocks=30, skewed=request.param)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "items")
    return duplication


def parameters(duplication):
    return {
        "duplication": duplication.pk,
        "parent": 0,
        "id": 0,
        "high_water": duplication.high_water["blocks"],
        "size": SIZE,
    }


def plan(sql, duplication):
    with connection.cursor() as cursor:
        # The copy's own steps have set these in the test's transaction.
        for name in SESSION:
            cursor.execute(f"SET LOCAL {name} TO DEFAULT")
        plan_for_walking(cursor)
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters(duplication))
        (found,) = cursor.fetchone()
    root = found[0]["Plan"] if not isinstance(found, str) else json.loads(found)[0]["Plan"]
    return list(nodes(root))


def nodes(node):
    yield node
    for child in node.get("Plans", []):
        yield from nodes(child)


def scanned(found, relation):
    return sum(
        node["Actual Rows"] * node["Actual Loops"]
        for node in found
        if node.get("Relation Name") == relation and "Scan" in node["Node Type"]
    )


def test_walk_reads_only_the_rows_of_its_chunk(started):
    above, level = by_stage("blocks")
    found = plan(walk_sql(above, level, side="org", columns="c.id"), started)

    kinds = {node["Node Type"] for node in found}
    assert not kinds & {"Sort", "Seq Scan", "Hash Join", "Bitmap Heap Scan"}
    assert scanned(found, "blocks") <= 2 * SIZE


def test_chunk_reads_only_the_rows_of_its_chunk(started):
    above, level = by_stage("blocks")
    found = plan(chunk_sql(above, level, upper=False), started)

    kinds = {node["Node Type"] for node in found}
    assert not kinds & {"Sort", "Seq Scan", "Hash Join"}
    assert scanned(found, "blocks") <= 2 * SIZE
