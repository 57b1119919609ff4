import threading

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from content.models import Block, Episode, Item, Part
from content.services import delete_episode, update_episode
from content.synthetic import make_episode
from duplication.exceptions import CannotRemove, CannotStart
from duplication.kind import DUPLICATION
from duplication.models import CatchUp, Duplication, IdMap, MediaFile, Removal
from duplication.removal import changes
from duplication.removal.deleting import RemoveBlocks
from duplication.removal.kind import REMOVAL
from duplication.removal.services import keep_copy, start_removal
from duplication.services import start_duplication
from operations import control
from operations.exceptions import IdempotencyKeyReused, InvalidTransition
from operations.models import Event
from tests.duplication.driving import duplicate, remove, run_stage, run_to_end
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def duplication():
    return duplicate(make_episode(parts=1, items=2, blocks=2))


def start(duplication, **options):
    options.setdefault("requested_by", None)
    return start_removal(duplication=duplication, **options)


def refused(duplication, **options) -> CannotRemove:
    with pytest.raises(CannotRemove) as refusal:
        start(duplication, **options)
    duplication.refresh_from_db()
    assert not duplication.new_episode or duplication.new_episode.status != "removing"
    return refusal.value


def block_of(duplication) -> Block:
    return Block.objects.filter(item__part__episode=duplication.new_episode).order_by("pk").first()


def test_start_answers_before_any_row_is_deleted(duplication):
    user = UserFactory()
    queued = OrmQ.objects.count()
    removal, created = start(duplication, requested_by=user)
    assert created
    assert (removal.status, removal.requested_by) == ("pending", user)
    assert removal.jobs.get().name == "CheckCopy"
    assert OrmQ.objects.count() == queued + 1
    assert Block.objects.count() == 8


def test_start_while_one_is_unfinished_answers_that_one(duplication):
    first = start(duplication)
    second = start(duplication)
    assert (second.removal, second.created) == (first.removal, False)


def test_start_same_key_answers_the_first_removal_whatever_became_of_it(duplication):
    user = UserFactory()
    removal = remove(duplication, requested_by=user, idempotency_key="k1")
    again = start(duplication, requested_by=user, idempotency_key="k1")
    assert (again.removal, again.created) == (removal, False)
    with pytest.raises(IdempotencyKeyReused, match="new key"):
        start(duplication, requested_by=user, idempotency_key="k1", even_if_changed=True)


def test_start_of_an_active_duplication_is_refused_and_names_cancel():
    active, _ = start_duplication(episode_id=EpisodeFactory().pk, requested_by=None)
    error = refused(active)
    assert error.code == "still_active"
    assert "cancel it" in str(error)


def test_start_of_a_removed_copy_is_refused(duplication):
    remove(duplication)
    assert refused(duplication).code == "already_removed"


def test_start_of_a_copy_that_was_deleted_is_refused(duplication):
    delete_episode(episode=duplication.new_episode)
    duplication.refresh_from_db()
    assert refused(duplication).code == "no_copy"


def test_start_of_a_deleted_copy_that_left_files_behind_is_allowed(duplication):
    MediaFile.objects.create(duplication=duplication, source="a", target="b", status="copied")
    delete_episode(episode=duplication.new_episode)
    duplication.refresh_from_db()
    assert start(duplication).created


def test_start_without_the_id_map_is_refused_and_names_deleting_the_episode(duplication):
    IdMap.objects.filter(duplication=duplication).delete()
    error = refused(duplication)
    assert error.code == "id_map_pruned"
    assert f"delete episode {duplication.new_episode_id}" in str(error)
    assert refused(duplication, even_if_changed=True).code == "id_map_pruned"


def test_start_while_the_copy_is_duplicated_is_refused_until_that_is_cancelled(duplication):
    further, _ = start_duplication(episode_id=duplication.new_episode_id, requested_by=None)
    error = refused(duplication, even_if_changed=True)
    assert error.code == "being_duplicated"
    assert f"duplication {further.pk}" in str(error)
    control.request_cancel(DUPLICATION, further)
    assert start(duplication).created


def test_start_while_the_copy_catches_up_is_refused(duplication):
    catch_up = CatchUp.objects.create(duplication=duplication)
    error = refused(duplication, even_if_changed=True)
    assert error.code == "catching_up"
    assert f"catch-up {catch_up.pk}" in str(error)


def test_start_of_a_copy_that_was_duplicated_is_refused_and_forced(duplication):
    further = duplicate(duplication.new_episode)
    error = refused(duplication)
    assert error.code == "duplicated_since"
    assert f"duplication {further.pk}" in str(error)
    assert "even_if_changed" in str(error)

    removal = remove(duplication, even_if_changed=True)

    assert removal.status == "completed", removal.error_message
    further.refresh_from_db()
    assert further.new_episode.status == "draft"
    assert Block.objects.filter(item__part__episode=further.new_episode).count() == 4


def test_start_of_a_copy_whose_further_copy_is_removed_is_allowed(duplication):
    remove(duplicate(duplication.new_episode))
    assert start(duplication).created


@pytest.mark.parametrize(
    ("model", "path"),
    [(Part, "episode"), (Item, "part__episode"), (Block, "item__part__episode")],
)
def test_start_of_a_copy_that_was_edited_is_refused_and_names_the_row(duplication, model, path):
    row = model.objects.filter(**{path: duplication.new_episode}).first()
    row.name = "edited"
    row.save()
    error = refused(duplication)
    assert error.code == "changed_since"
    assert f"{model.__name__.lower()} {row.pk} (edited)" in str(error)
    assert "even_if_changed" in str(error)
    assert start(duplication, even_if_changed=True).created


@pytest.mark.parametrize(
    "edit",
    [{"title": "Mine"}, {"status": "published"}, {"type": "dialogue"}],
    ids=lambda e: next(iter(e)),
)
def test_start_of_a_copy_whose_episode_was_changed_is_refused(duplication, edit):
    update_episode(episode=duplication.new_episode, changes=edit)
    assert f"episode {duplication.new_episode_id}" in str(refused(duplication))


def test_start_of_a_copy_published_behind_the_times_is_refused(duplication):
    Episode.objects.filter(pk=duplication.new_episode_id).update(status="published")
    assert "(published)" in str(refused(duplication))


def test_start_where_looking_takes_too_long_leaves_it_to_the_check(duplication, monkeypatch):
    block = block_of(duplication)
    block.name = "edited"
    block.save()
    monkeypatch.setattr(changes, "LOOK_TIMEOUT_MS", 1)
    monkeypatch.setattr(changes, "is_own_sql", lambda level, row: "(SELECT pg_sleep(0.2) IS NULL)")
    removal, created = start(duplication)
    assert created
    monkeypatch.undo()
    run_to_end(removal)
    assert removal.error_code == "changed_since"


def test_start_after_a_refusal_with_force_goes_on_with_the_same_removal(duplication):
    removal = refused_on_the_way(duplication)

    again = start(duplication, even_if_changed=True)

    assert (again.removal, again.created) == (removal, False)
    run_to_end(again.removal)
    assert again.removal.status == "completed", again.removal.error_message
    assert Removal.objects.count() == 1


def test_start_with_force_while_one_checks_makes_that_one_forced(duplication):
    Block.objects.filter(pk=block_of(duplication).pk).update(field_2="edited by SQL")
    removal, _ = start(duplication)
    again = start(duplication, even_if_changed=True)
    assert (again.removal, again.removal.even_if_changed) == (removal, True)
    run_to_end(again.removal)
    assert again.removal.status == "completed"


def test_refused_removal_can_be_retried_when_the_change_is_gone(duplication):
    text = block_of(duplication).field_2
    removal = refused_on_the_way(duplication)
    Block.objects.filter(pk=block_of(duplication).pk).update(field_2=text)
    control.retry(REMOVAL, removal)
    run_to_end(removal)
    assert removal.status == "completed", removal.error_message


def test_retry_while_the_copy_is_duplicated_is_refused(duplication):
    removal = refused_on_the_way(duplication)
    start_duplication(episode_id=duplication.new_episode_id, requested_by=None)
    assert "is being duplicated itself" in REMOVAL.refusal(removal, "retry")


def test_retry_of_a_duplication_whose_original_is_taken_away_is_refused(duplication):
    further, _ = start_duplication(episode_id=duplication.new_episode_id, requested_by=None)
    run_stage(further, "parts")
    job = further.jobs.exclude(status="completed").first()
    control.fail(DUPLICATION, job, code="test", message="Failed for a test.", trace="")
    further.refresh_from_db()
    start(duplication)
    assert "is being taken away" in DUPLICATION.refusal(further, "retry")


def test_copying_an_original_that_is_being_taken_away_fails(duplication):
    further, _ = start_duplication(episode_id=duplication.episode_id, requested_by=None)
    run_stage(further, "parts")
    Episode.objects.filter(pk=duplication.episode_id).update(status="removing")
    run_to_end(further)
    assert further.error_code == "original_episode_not_found"


def test_removal_is_seen_by_whose_copy_it_was(duplication):
    owner, admin = UserFactory(), UserFactory()
    duplication.requested_by = owner
    duplication.save()
    removal, _ = start(duplication, requested_by=admin)
    for user in (owner, admin):
        assert removal in Removal.viewable_by(user)
        assert removal.may_be_controlled_by(user)
    stranger = UserFactory()
    assert removal not in Removal.viewable_by(stranger)
    assert not removal.may_be_controlled_by(stranger)


@pytest.mark.django_db(transaction=True)
def test_start_by_two_users_at_once_makes_one():
    duplication = duplicate(make_episode(parts=1, items=1, blocks=1))
    users = [UserFactory(), UserFactory()]
    barrier, results = threading.Barrier(2), []

    def click(user):
        barrier.wait(timeout=10)
        results.append(start(duplication, requested_by=user))
        connection.close()

    threads = [threading.Thread(target=click, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(result.created for result in results) == [False, True]
    assert Removal.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_start_while_somebody_starts_to_duplicate_the_copy_lets_one_of_them():
    duplication = duplicate(make_episode(parts=1, items=1, blocks=1))
    barrier, outcomes = threading.Barrier(2), []

    def race(act):
        barrier.wait(timeout=10)
        try:
            act()
        except (CannotRemove, CannotStart) as error:
            outcomes.append(error.code)
        else:
            outcomes.append("started")
        connection.close()

    acts = [
        lambda: start(duplication),
        lambda: start_duplication(episode_id=duplication.new_episode_id, requested_by=None),
    ]
    threads = [threading.Thread(target=race, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert len(outcomes) == 2
    assert outcomes.count("started") == 1


def test_removal_that_fails_before_it_deletes_shows_the_copy_and_checks_again(
    duplication, monkeypatch
):
    def broken(self, cursor, job):
        raise RuntimeError("broken for a test")

    with monkeypatch.context() as patch:
        patch.setattr(RemoveBlocks, "open_level", broken)
        removal = remove(duplication)
    assert (removal.status, removal.error_code) == ("failed", "RuntimeError")
    assert duplication.new_episode.status == "draft"
    assert duplication.display_status == "completed"

    control.retry(REMOVAL, removal)
    duplication.new_episode.refresh_from_db()
    run_stage(removal, "check")
    duplication.new_episode.refresh_from_db()
    assert duplication.new_episode.status == "removing"
    run_to_end(removal)
    assert removal.status == "completed", removal.error_message
    assert Episode.objects.get() == duplication.episode


def test_keep_copy_settles_a_refused_removal_and_the_copy_can_be_removed_later(duplication):
    user = UserFactory()
    removal = refused_on_the_way(duplication)
    removal.requested_by = user
    removal.save()

    keep_copy(removal=removal, by=user)

    removal.refresh_from_db()
    assert (removal.status, removal.requested, removal.waiting_since) == ("cancelled", "", None)
    event = Event.objects.filter(kind="removal", operation_id=str(removal.pk)).last()
    assert (event.name, event.payload["by"]) == ("removal.cancelled", user.username)
    duplication.refresh_from_db()
    assert (duplication.new_episode.status, duplication.display_status) == ("draft", "completed")
    later = remove(duplication, even_if_changed=True)
    assert (later.status, Removal.objects.count()) == ("completed", 2)


def test_keep_copy_of_somebody_elses_removal_is_forbidden(duplication):
    removal = refused_on_the_way(duplication)
    with pytest.raises(PermissionDenied, match="somebody else's"):
        keep_copy(removal=removal, by=UserFactory())


def test_keep_copy_of_a_removal_that_has_not_failed_is_refused(duplication):
    user = UserFactory()
    removal, _ = start(duplication, requested_by=user)
    with pytest.raises(InvalidTransition):
        keep_copy(removal=removal, by=user)
    removal.refresh_from_db()
    assert removal.status == "pending"


def test_keep_copy_of_which_part_is_gone_is_refused(duplication):
    user = UserFactory()
    removal = refused_on_the_way(duplication)
    removal.requested_by = user
    removal.save()
    Duplication.objects.update(deletion_began_at=timezone.now())
    with pytest.raises(CannotRemove, match="Part of the copy is gone"):
        keep_copy(removal=removal, by=user)


def refused_on_the_way(duplication) -> Removal:
    """A removal that failed because a row was changed behind the times."""
    Block.objects.filter(pk=block_of(duplication).pk).update(field_2="edited by SQL")
    removal = remove(duplication)
    assert removal.error_code == "changed_since", removal.error_message
    assert duplication.new_episode.status == "draft"
    return removal
