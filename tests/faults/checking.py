"""What must be true of a duplication at its end, whatever happened to it on its way.

Written from the models alone, apart from the product's own verification: what that one
overlooks has to be found here. The test's database holds one duplication and nothing else
that was copied.
"""

from django.db import connection

from content.links import linked_ids, rewrite_links
from content.models import Block, Episode, Item, Part
from duplication.models import Duplication, DuplicationJob, IdMap
from operations.models import Event

# Each level with its foreign key to the one above.
LEVELS = ((Part, "episode", "episode_id"), (Item, "part", "part_id"), (Block, "item", "item_id"))
NOT_COPIED = {"id", "orig_id", "created_at", "updated_at"}
TEXT_TYPES = ("CharField", "TextField")
EXAMPLES = 5


def assert_sound(duplication):
    """The duplication is completed, its copy equals its original row for row and is the only
    one, nothing is left over, and its events are in order without a gap."""
    duplication.refresh_from_db()
    assert duplication.status == "completed", duplication.error_message
    assert duplication.report["verified"] is True
    assert_one_copy(duplication)
    for model, node_above, parent in LEVELS:
        assert_level_equal(duplication, model, node_above, parent)
    assert_links_point_into_the_copy(duplication)
    assert_nothing_is_stuck(duplication)
    assert_events_without_a_gap(duplication)


def assert_one_copy(duplication):
    assert Duplication.objects.count() == 1
    copies = list(Episode.objects.filter(orig_id__isnull=False))
    assert [copy.pk for copy in copies] == [duplication.new_episode_id]
    (copy,) = copies
    assert (copy.orig_id, copy.title) == (duplication.org_episode_id, duplication.title)
    assert copy.status == Episode.Status.DRAFT
    assert mapped(duplication, "episode") == [(copy.orig_id, copy.pk)]


def assert_level_equal(duplication, model, node_above, parent):
    node, table = model._meta.model_name, model._meta.db_table
    columns = [
        # Which row a link points to is looked at apart: it must not be the same one.
        f"regexp_replace(row.{field.column}, '(content:[a-z]+/)[0-9]+', '\\1', 'g')"
        if field.get_internal_type() in TEXT_TYPES
        else f"row.{field.column}"
        for field in model._meta.concrete_fields
        if field.column not in {*NOT_COPIED, parent}
    ]
    values = ", ".join(columns)
    tree = tree_sql(model)
    map_of = "SELECT org_id, new_id FROM id_map WHERE duplication_id = %(duplication)s AND type = "
    # What the copy must be: each row of the original, below its parent's copy, as its own copy.
    expected = f"""
        SELECT own.new_id, above.new_id AS parent, row.id AS orig_id, {values}
        FROM {table} row
        LEFT JOIN ({map_of} '{node}') own ON own.org_id = row.id
        LEFT JOIN ({map_of} '{node_above}') above ON above.org_id = row.{parent}
        WHERE row.id IN ({tree.format(root="%(original)s")})"""
    # Every row that was copied from somewhere, wherever it hangs: an orphan is one of them.
    found = f"""
        SELECT row.id, row.{parent}, row.orig_id, {values}
        FROM {table} row WHERE row.orig_id IS NOT NULL"""
    parameters = {
        "duplication": duplication.pk,
        "original": duplication.org_episode_id,
        "copy": duplication.new_episode_id,
    }
    missing, surplus = (
        select(f"({one} EXCEPT ALL {other}) LIMIT {EXAMPLES}", parameters)
        for one, other in ((expected, found), (found, expected))
    )
    assert missing == [], f"{table} that the copy lacks"
    assert surplus == [], f"{table} that don't belong to the copy"

    (counted,) = select(
        f"""SELECT (SELECT count(*) FROM ({tree.format(root="%(original)s")}) original),
            (SELECT count(*) FROM ({tree.format(root="%(copy)s")}) copied)""",
        parameters,
    )
    assert counted[0] == counted[1] == IdMap.objects.filter(type=node).count()
    assert sum(job.counts["rows"] for job in jobs(duplication, table)) == counted[0]
    assert duplication.progress[table]["done"] == counted[0]
    assert mapped(duplication, node) == select(
        f"SELECT orig_id, id FROM {table} WHERE orig_id IS NOT NULL ORDER BY orig_id"
    )


def assert_links_point_into_the_copy(duplication):
    """Each text with a link is the original's, with those ids replaced that were copied."""
    new_ids = {
        (type_, str(org_id)): str(new_id)
        for type_, org_id, new_id in IdMap.objects.values_list("type", "org_id", "new_id")
    }
    for model, _, _ in LEVELS:
        fields = [
            field.name
            for field in model._meta.concrete_fields
            if field.get_internal_type() in TEXT_TYPES
        ]
        for row in model.objects.filter(orig_id__isnull=False):
            linked = {
                name: value
                for name in fields
                if (value := getattr(row, name)) and "content:" in value
            }
            if not linked:
                continue
            original = model.objects.get(pk=row.orig_id)
            for name, value in linked.items():
                assert linked_ids(getattr(original, name))
                assert value == rewrite_links(
                    getattr(original, name), lambda link: new_ids.get((link.level, link.key))
                )


def assert_nothing_is_stuck(duplication):
    assert duplication.requested == ""
    assert duplication.waiting_reason == ""
    left = DuplicationJob.objects.exclude(
        status="completed", lease_token=None, lease_until=None, due_at=None
    )
    assert list(left.values_list("name", "status", "lease_until", "due_at")) == []
    for stage, progress in duplication.progress.items():
        assert progress["total"] in (None, progress["done"]), stage
        assert progress["ended_at"], stage


def assert_events_without_a_gap(duplication):
    events = list(Event.objects.order_by("id"))
    assert {(event.kind, event.operation_id) for event in events} == {
        ("duplication", str(duplication.pk))
    }
    numbers = sorted(event.sequence for event in events)
    assert numbers == list(range(1, len(numbers) + 1))
    assert duplication.event_sequence == len(numbers)
    events.sort(key=lambda event: event.sequence)
    names = [event.name.removeprefix("duplication.") for event in events]
    # It may have to wait for a worker before it starts.
    told_of = [name for name in names if name != "waiting"]
    assert [told_of[0], names[-1]] == ["started", "completed"]
    assert (names.count("started"), names.count("completed")) == (1, 1)
    told = dict.fromkeys(duplication.progress, 0)
    for event in events:
        if event.name == "duplication.progress":
            told[event.stage] += event.payload["amount"]
            assert event.payload["done"] == told[event.stage]
    assert told == {stage: entry["done"] for stage, entry in duplication.progress.items()}


def jobs(duplication, stage):
    return DuplicationJob.objects.filter(duplication=duplication, stage=stage)


def mapped(duplication, node):
    return list(
        IdMap.objects.filter(duplication=duplication, type=node)
        .order_by("org_id")
        .values_list("org_id", "new_id")
    )


def tree_sql(model):
    """The ids of the level below one episode, with a place for the episode's id."""
    sql = "SELECT {root}"
    for level, _, parent in LEVELS:
        sql = f"SELECT id FROM {level._meta.db_table} WHERE {parent} IN ({sql})"
        if level is model:
            break
    return sql


def select(sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()
