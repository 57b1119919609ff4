"""The check at each fault's end finds what it is there for."""

import pytest
from django.db import connection

from duplication.models import Duplication
from tests.duplication.driving import duplicate
from tests.faults.checking import assert_sound

pytestmark = pytest.mark.django_db

# The copy has the higher ids: its rows are those of `min(id)` and `max(id)` with an orig_id.
ONE = "(SELECT min(id) FROM blocks WHERE orig_id IS NOT NULL)"
ANOTHER = "(SELECT max(id) FROM blocks WHERE orig_id IS NOT NULL)"
AS_IN_THE_ORIGINAL = "(SELECT field_2 FROM blocks WHERE id = row.orig_id)"
DAMAGES = {
    "a row is missing": f"DELETE FROM blocks WHERE id = {ONE}",
    "a text differs": f"UPDATE blocks SET field_1 = 'other' WHERE id = {ONE}",
    "a null is an empty text": f"UPDATE blocks SET media = '' WHERE id = {ONE} AND media IS NULL",
    "a row has another parent of the copy": f"""UPDATE blocks SET item_id =
        (SELECT item_id FROM blocks WHERE id = {ANOTHER}) WHERE id = {ONE}""",
    "a row was copied below the original": """INSERT INTO parts
        (episode_id, orig_id, position, name, created_at, updated_at)
        SELECT episode_id, id, position, name, now(), now() FROM parts WHERE orig_id IS NULL""",
    "a row was copied twice": f"""INSERT INTO blocks (item_id, orig_id, position, name, field_1,
        field_2, field_3, media, created_at, updated_at) SELECT item_id, orig_id, position, name,
        field_1, field_2, field_3, media, now(), now() FROM blocks WHERE id = {ONE}""",
    "two rows changed places in the id map": f"""UPDATE id_map SET new_id =
        CASE new_id WHEN {ONE} THEN {ANOTHER} ELSE {ONE} END
        WHERE type = 'block' AND new_id IN ({ONE}, {ANOTHER})""",
    "the id map knows a row that isn't there": """INSERT INTO id_map
        (duplication_id, type, org_id, new_id, has_link)
        SELECT id, 'block', 999999, 999999, false FROM duplications""",
    "a second copy was begun": """INSERT INTO episodes SELECT (jsonb_populate_record(episodes,
        jsonb_build_object('id', 999999))).* FROM episodes WHERE orig_id IS NOT NULL""",
    "the copy isn't visible": "UPDATE episodes SET status = 'copying' WHERE orig_id IS NOT NULL",
    "a link points into the original": f"""UPDATE blocks row SET field_2 = {AS_IN_THE_ORIGINAL}
        WHERE orig_id IS NOT NULL AND field_2 LIKE '%content:%'""",
    "it isn't completed": "UPDATE duplications SET status = 'in_progress'",
    "it says that it waits": "UPDATE duplications SET waiting_reason = 'The disk is full.'",
    "a job isn't completed": "UPDATE duplication_jobs SET status = 'pending' WHERE stage = 'links'",
    "a lease is left": """UPDATE duplication_jobs SET lease_until = now() WHERE stage = 'links'""",
    "a job is still due": "UPDATE duplication_jobs SET due_at = now() WHERE stage = 'links'",
    "a stage is done by more than all": """UPDATE duplications SET progress =
        jsonb_set(progress, '{blocks,done}', '7')""",
    "an event is missing": "DELETE FROM operation_events WHERE sequence = 5",
    "an event is told after the last": """UPDATE operation_events SET sequence = event_sequence + 1
        FROM duplications WHERE sequence = 5""",
    "progress was told twice": """UPDATE operation_events
        SET payload = payload || '{"amount": 99}' WHERE name = 'duplication.progress'""",
}


@pytest.fixture
def duplication(make_linked_episode):
    return duplicate(make_linked_episode(parts=2, items=2, blocks=300))


def test_assert_sound_copy_without_damage_passes(duplication):
    assert_sound(duplication)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_assert_sound_damaged_copy_is_refused(duplication, damage):
    with connection.cursor() as cursor:
        cursor.execute(damage)
        assert cursor.rowcount > 0

    with pytest.raises(AssertionError):
        assert_sound(Duplication.objects.get(pk=duplication.pk))
