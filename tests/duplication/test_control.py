"""Steering a duplication: two users at the same moment, and tasks that come once more after it."""

import threading

import pytest
from django.db import connection, transaction

from duplication.kind import DUPLICATION
from duplication.models import Duplication
from duplication.services import start_duplication
from operations import control, runner, verbs
from operations.exceptions import InvalidTransition
from operations.models import Event
from tests.duplication.driving import run_stage, run_to_end, tree
from tests.factories.content import BlockFactory, UserFactory

# What two users do, the state it is in, and what it is then.
RACES = [
    ("pause", "pending", "paused"),
    ("resume", "paused", "in_progress"),
    ("retry", "failed", "in_progress"),
    ("cancel", "in_progress", "cancelled"),
]
TOLD = {
    "pause": ("pause_requested", "paused"),
    "resume": ("resumed",),
    "retry": ("retried",),
    "cancel": ("cancel_requested", "cancelled"),
}


@pytest.fixture
def episode():
    episode = BlockFactory().item.part.episode
    BlockFactory.create_batch(2, item=episode.parts.get().items.get())
    return episode


def in_state(episode, state):
    """A duplication of the episode whose rows are copied in part, or none if it is pending."""
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    if state != "pending":
        run_stage(duplication, "items")
    if state == "paused":
        control.request_pause(DUPLICATION, duplication)
    if state == "failed":
        job = duplication.jobs.get(stage="blocks")
        with transaction.atomic():
            control.fail(DUPLICATION, job, code="broken", message="It broke.", trace="")
    duplication.refresh_from_db()
    assert duplication.status == state
    return duplication


def events_of(duplication):
    found = Event.objects.filter(kind="duplication", operation_id=str(duplication.pk))
    return list(found.order_by("sequence"))


def both(verb, duplication, users):
    """Both users do the verb at the same moment; the refusals."""
    together, refused = threading.Barrier(len(users)), []

    def act(user):
        try:
            mine = Duplication.objects.get(pk=duplication.pk)
            together.wait(timeout=10)
            verbs.apply(verb, mine, by=user)
        except InvalidTransition as refusal:
            refused.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    duplication.refresh_from_db()
    return refused


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("verb", "before", "after"), RACES)
def test_verb_by_two_users_at_once_is_done_once(episode, verb, before, after):
    duplication = in_state(episode, before)
    users = [UserFactory(permissions=["change_duplication"]) for _ in range(2)]

    refused = both(verb, duplication, users)

    # A request that is not reached yet may be made twice; an edge is taken once.
    assert len(refused) <= 1 if verb in ("pause", "cancel") else len(refused) == 1
    assert duplication.status == after
    assert duplication.requested == ""
    events = events_of(duplication)
    for name in TOLD[verb]:
        assert [each.name for each in events].count(f"duplication.{name}") == 1
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    if verb == "cancel":
        # One of them takes away what was made; no second removal is started.
        assert duplication.removals.count() == 1
        run_to_end(duplication.removals.get())
    else:
        if verb == "pause":
            control.resume(DUPLICATION, duplication)
        run_to_end(duplication)
        assert tree(duplication.new_episode) == tree(episode)


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["paused", "failed", "cancelled", "completed"])
def test_task_delivered_again_to_one_that_stands_still_does_nothing(episode, state):
    duplication = in_state(episode, "in_progress" if state in ("cancelled", "completed") else state)
    if state == "cancelled":
        control.request_cancel(DUPLICATION, duplication)
    elif state == "completed":
        run_to_end(duplication)
    before = events_of(duplication)

    for job in duplication.jobs.all():
        assert runner.run("duplication", job.pk) == "not_taken"

    duplication.refresh_from_db()
    assert duplication.status == state
    assert events_of(duplication) == before


@pytest.mark.django_db
@pytest.mark.parametrize(("verb", "state"), [("resume", "paused"), ("retry", "failed")])
def test_task_delivered_twice_after_it_goes_on_copies_no_row_twice(episode, verb, state):
    duplication = in_state(episode, state)
    verbs.apply(verb, duplication, by=None)
    job = duplication.jobs.get(stage="blocks")

    runner.run("duplication", job.pk)
    assert runner.run("duplication", job.pk) == "not_taken"

    run_to_end(duplication)
    assert duplication.status == "completed"
    assert tree(duplication.new_episode) == tree(episode)
