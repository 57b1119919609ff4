import threading

import pytest
from django.db import connection
from django_q.models import OrmQ

from content.models import Episode
from duplication.exceptions import CannotStart
from duplication.models import Duplication
from duplication.services import start_duplication
from operations.exceptions import IdempotencyKeyReused
from tests.duplication.driving import duplicate, run_to_end
from tests.factories.content import EpisodeFactory, UserFactory

pytestmark = pytest.mark.django_db


def start(episode, **options):
    options.setdefault("requested_by", None)
    return start_duplication(episode_id=episode.pk, **options)


def test_start_answers_before_any_row_is_copied():
    user = UserFactory()
    duplication, created = start(EpisodeFactory(title="Weekly"), requested_by=user, lanes=3)

    assert created
    assert (duplication.status, duplication.new_episode) == ("pending", None)
    assert (duplication.title, duplication.requested_by) == ("Weekly (copy)", user)
    assert duplication.lanes == 3
    assert duplication.jobs.get().name == "DuplicateEpisode"
    assert OrmQ.objects.count() == 1
    assert duplication.jobs.get().task_id


def test_start_title_is_the_users_where_one_is_given():
    assert start(EpisodeFactory(), title="Mine").duplication.title == "Mine"


def test_start_longest_title_still_fits():
    title = start(EpisodeFactory(title="x" * 255)).duplication.title
    assert len(title) == 255
    assert title.endswith(" (copy)")


def test_start_while_one_is_active_answers_that_one():
    episode = EpisodeFactory()
    first = start(episode)
    second = start(episode)
    assert (second.duplication, second.created) == (first.duplication, False)


def test_start_beside_an_active_one_when_asked_to():
    episode = EpisodeFactory()
    first = start(episode)
    assert start(episode, beside_active=True).duplication != first.duplication


def test_start_after_the_first_ended_is_a_new_one():
    episode = EpisodeFactory()
    first = duplicate(episode)
    assert start(episode).duplication != first


def test_start_same_key_answers_the_first_request_whatever_became_of_it():
    episode, user = EpisodeFactory(), UserFactory()
    first = duplicate(episode, requested_by=user, idempotency_key="k1")
    again = start(episode, requested_by=user, idempotency_key="k1")
    assert (again.duplication, again.created) == (first, False)


def test_start_key_answered_with_an_active_one_stays_with_it_when_that_ends():
    episode, user = EpisodeFactory(), UserFactory()
    active = start(episode).duplication
    assert start(episode, requested_by=user, idempotency_key="k1").duplication == active
    run_to_end(active)

    again = start(episode, requested_by=user, idempotency_key="k1")

    assert (again.duplication, again.created) == (active, False)


def test_start_same_key_of_another_user_is_another_request():
    episode = EpisodeFactory()
    first = duplicate(episode, requested_by=UserFactory(), idempotency_key="k1")
    again = start(episode, requested_by=UserFactory(), idempotency_key="k1")
    assert again.duplication != first


def test_start_same_key_for_another_request_is_refused():
    user = UserFactory()
    start(EpisodeFactory(), requested_by=user, idempotency_key="k1")
    with pytest.raises(IdempotencyKeyReused, match="new key"):
        start(EpisodeFactory(), requested_by=user, idempotency_key="k1")


@pytest.mark.parametrize("lanes", [0, -1, 9])
def test_start_impossible_lanes_are_refused(lanes):
    with pytest.raises(CannotStart, match="from 1 to 8"):
        start(EpisodeFactory(), lanes=lanes)


def test_start_unknown_episode_is_refused_and_leaves_nothing():
    with pytest.raises(CannotStart, match="no episode 999"):
        start_duplication(episode_id=999, requested_by=None)
    assert not Duplication.objects.exists()


def test_start_copy_that_is_being_made_is_refused():
    with pytest.raises(CannotStart):
        start(EpisodeFactory(status=Episode.Status.COPYING))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [None, "k1"])
def test_start_two_clicks_at_once_make_one(key):
    episode, user = EpisodeFactory(), UserFactory()
    barrier, results = threading.Barrier(2), []

    def click():
        barrier.wait(timeout=10)
        results.append(start(episode, requested_by=user, idempotency_key=key))
        connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(result.created for result in results) == [False, True]
    assert Duplication.objects.count() == 1
    assert OrmQ.objects.count() == 1
