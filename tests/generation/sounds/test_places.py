"""Who gets how many of a provider's places."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from generation.models import GenerationJob, GenerationStage
from generation.sounds.places import OnlyWorker, Places
from operations.exceptions import WorkWaits
from tests.generation.making import make_episode, start
from tests.generation.stub_speech import StubSpeech

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stubs")]

IN_A_MINUTE = dt.timedelta(minutes=1)


def running() -> GenerationJob:
    """A generation whose audio a worker makes."""
    generation = start(make_episode())
    GenerationStage.objects.create(
        generation=generation,
        name="MakeAudio",
        stage="audio",
        lease_until=timezone.now() + IN_A_MINUTE,
    )
    return generation


def waiting(reason: str, *, seconds: float) -> GenerationJob:
    """A generation that has waited for a place for so long."""
    generation = start(make_episode())
    GenerationJob.objects.filter(pk=generation.pk).update(
        waiting_reason=reason,
        waiting_since=timezone.now() - dt.timedelta(seconds=seconds),
        waiting_until=timezone.now(),
    )
    return generation


@pytest.fixture
def places() -> Any:
    places = Places(StubSpeech())
    yield places
    places.give_back()


def test_generation_that_is_alone_has_all_places(places: Places) -> None:
    assert places.adjust(running(), in_use=0) == 4
    assert places.held == 4


def test_place_is_given_back_to_another_when_its_call_has_ended(places: Places) -> None:
    generation = running()
    places.adjust(generation, in_use=0)
    running()
    assert places.adjust(generation, in_use=3) == 2
    assert places.held == 3
    assert places.adjust(generation, in_use=0) == 2
    assert places.held == 2


def test_free_place_goes_to_who_has_waited_longest(places: Places, other_session: Any) -> None:
    space = places._locks._space
    other_session.execute("SELECT pg_advisory_lock(%s, n) FROM generate_series(0, 2) n", [space])
    reason = places._reason()
    first, second = waiting(reason, seconds=9), waiting(reason, seconds=5)
    for later in (second, running()):
        with pytest.raises(WorkWaits, match="All 4 places at stub are taken"):
            places.adjust(later, in_use=0)
    assert places.adjust(first, in_use=0) == 1


def test_one_that_waits_and_is_looked_after_by_nobody_is_passed_by(
    places: Places, other_session: Any
) -> None:
    space = places._locks._space
    other_session.execute("SELECT pg_advisory_lock(%s, n) FROM generate_series(0, 2) n", [space])
    left = waiting(places._reason(), seconds=90)
    GenerationJob.objects.filter(pk=left.pk).update(waiting_until=timezone.now() - IN_A_MINUTE)
    assert places.adjust(running(), in_use=0) == 1


def test_earlier_worker_that_still_ends_its_calls_is_noticed(other_session: Any) -> None:
    worker = OnlyWorker(running())
    number, space = worker._number, worker._locks._space
    other_session.execute("SELECT pg_advisory_lock(%s, %s)", [space, number])
    assert not worker.is_sure()
    other_session.execute("SELECT pg_advisory_unlock(%s, %s)", [space, number])
    assert worker.is_sure()
    worker.end()
