import datetime as dt

import pytest
from django.utils import timezone

from content.models import Episode
from content.synthetic import make_episode
from duplication import retention as policies
from duplication.exceptions import CannotRemove
from duplication.kind import DUPLICATION
from duplication.models import CatchUp, Duplication, IdMap, Removal
from duplication.removal.kind import REMOVAL
from duplication.removal.services import start_removal
from duplication.services import start_duplication
from operations import control, retention
from tests.duplication.driving import duplicate, run_stage, run_to_end

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def days(settings):
    settings.DUPLICATION_KEEP_ID_MAP_DAYS = 60
    settings.DUPLICATION_KEEP_FAILED_DAYS = 20


def ended(duplication, days_ago):
    moment = timezone.now() - dt.timedelta(days=days_ago)
    Duplication.objects.filter(pk=duplication.pk).update(ended_at=moment)
    duplication.refresh_from_db()
    return duplication


def completed(days_ago):
    return ended(duplicate(make_episode(parts=1, items=2, blocks=3)), days_ago)


def failed(days_ago):
    episode = make_episode(parts=1, items=2, blocks=3)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "items")
    job = duplication.jobs.exclude(status="completed").first()
    control.fail(DUPLICATION, job, code="test", message="Failed for a test.", trace="")
    return ended(duplication, days_ago)


def mapped(duplication):
    return IdMap.objects.filter(duplication=duplication).count()


@pytest.mark.parametrize("rows", [1, 4, 5_000])
def test_id_map_of_an_old_copy_is_pruned_and_undo_says_so(monkeypatch, rows):
    monkeypatch.setattr(policies, "ROWS", rows)
    old, young = completed(61), completed(59)

    pruned = retention.prune()

    assert pruned.rows["id map entries"] == 10
    assert (mapped(old), mapped(young)) == (0, 10)
    assert old.new_episode.parts.count() == 1
    with pytest.raises(CannotRemove, match=f"delete episode {old.new_episode_id}"):
        start_removal(duplication=old, requested_by=None)
    assert start_removal(duplication=young, requested_by=None).created


def test_id_map_half_pruned_is_pruned_by_the_next_run_and_can_not_be_undone_meanwhile():
    old = completed(61)
    batches = policies.IdMaps().batches(timezone.now() - dt.timedelta(days=60))
    next(batches)
    assert mapped(old) == 9
    with pytest.raises(CannotRemove) as refusal:
        start_removal(duplication=old, requested_by=None)
    assert refusal.value.code == "id_map_pruned"
    retention.prune()
    assert mapped(old) == 0


def test_id_map_that_a_removal_goes_along_is_left():
    old = completed(61)
    removal, _ = start_removal(duplication=old, requested_by=None)
    retention.prune()
    assert mapped(old) == 10
    run_to_end(removal)
    assert removal.status == "completed"


def test_id_map_that_a_catch_up_needs_is_left():
    old = completed(61)
    CatchUp.objects.create(duplication=old)
    retention.prune()
    assert mapped(old) == 10


def test_id_map_of_a_partly_removed_copy_is_left_for_the_removal(settings):
    settings.DUPLICATION_KEEP_FAILED_DAYS = 0
    old = completed(61)
    removal, _ = start_removal(duplication=old, requested_by=None)
    run_stage(removal, "blocks")
    control.request_cancel(REMOVAL, removal)
    left = mapped(old)
    retention.prune()
    assert mapped(old) == left > 0


@pytest.mark.parametrize(("days_ago", "cleaned"), [(19, False), (21, True)])
def test_failed_copy_is_taken_away_after_its_time(days_ago, cleaned):
    duplication = failed(days_ago)
    pruned = retention.prune()
    assert pruned.rows["failed copies"] == int(cleaned)
    assert Removal.objects.count() == int(cleaned)
    if cleaned:
        run_to_end(Removal.objects.get())
        assert Episode.objects.get() == duplication.episode
        assert retention.prune().rows["failed copies"] == 0


def test_cancelled_copy_whose_clean_up_was_cancelled_is_taken_away_after_its_time():
    episode = make_episode(parts=1, items=2, blocks=3)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "items")
    control.request_cancel(DUPLICATION, duplication)
    control.request_cancel(REMOVAL, duplication.removals.get())
    ended(duplication, 21)
    assert retention.prune().rows["failed copies"] == 1


@pytest.mark.parametrize("stage", ["blocks", "episode"])
def test_partly_removed_copy_is_taken_away_after_its_time(stage):
    duplication = completed(21)
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, stage)
    control.request_cancel(REMOVAL, removal)
    assert retention.prune().rows["failed copies"] == 1
    run_to_end(duplication.removals.get(status="pending"))
    duplication.refresh_from_db()
    assert duplication.display_status == "removed"


def test_failed_copy_whose_removal_failed_is_left_for_a_person():
    duplication = failed(21)
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    control.fail(REMOVAL, removal.jobs.get(), code="test", message="For a test.", trace="")
    assert retention.prune().rows["failed copies"] == 0


def test_nothing_is_pruned_where_everything_is_kept_for_ever(settings):
    settings.DUPLICATION_KEEP_ID_MAP_DAYS = settings.DUPLICATION_KEEP_FAILED_DAYS = 0
    old = completed(4_000)
    failed(4_000)
    assert not {"id map entries", "failed copies"} & retention.prune().rows.keys()
    assert mapped(old) == 10
    assert not Removal.objects.exists()


def test_due_counts_what_prune_would_take():
    completed(61)
    failed(21)
    found = retention.due()
    assert (found["id map entries"], found["failed copies"]) == (10, 1)
    assert Removal.objects.count() == 0
