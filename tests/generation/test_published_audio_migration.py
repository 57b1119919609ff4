"""The migration that tells of published episodes' older audio, both ways, with data."""

import datetime as dt
from importlib import import_module

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from content.models import Episode
from tests.factories.content import EpisodeFactory

pytestmark = pytest.mark.django_db

# Part of a test's name, so the same in every process.
ONCE = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

BEFORE = ("generation", "0001_initial")
AFTER = ("generation", "0002_published_audio_is_completed")
migration = import_module("generation.migrations.0002_published_audio_is_completed")


def migrate(target):
    """As `manage.py migrate` does; the test's transaction takes it back."""
    MigrationExecutor(connection).migrate([target])


def told(episode):
    episode.refresh_from_db()
    return episode.generation_status, episode.generation_progress


def published(**fields):
    defaults = {"status": Episode.Status.PUBLISHED, "audio_url": "https://example.test/a.mp3"}
    return EpisodeFactory(**(defaults | fields))


@pytest.fixture(autouse=True)
def before_the_migration():
    migrate(BEFORE)


@pytest.mark.parametrize("rows", [1, 2, 3, 5_000])
def test_published_episodes_with_audio_are_completed_and_put_back(monkeypatch, rows):
    monkeypatch.setattr(migration, "ROWS", rows)
    episodes = [published() for _ in range(3)]
    moments = [episode.updated_at for episode in episodes]

    migrate(AFTER)
    assert [told(episode) for episode in episodes] == [("COMPLETED", 100)] * 3
    assert [episode.updated_at for episode in episodes] == moments

    migrate(BEFORE)
    assert [told(episode) for episode in episodes] == [("PENDING", 0)] * 3


@pytest.mark.parametrize(
    "fields",
    [
        {"audio_url": ""},
        {"status": Episode.Status.DRAFT},
        {"status": Episode.Status.ARCHIVED},
        {"status": Episode.Status.COPYING},
        {"generation_job_id": "7"},
        {"generation_status": "FAILED", "generation_progress": 40, "generation_job_id": "7"},
        {"generation_status": "GENERATING_AUDIO", "generation_progress": 30},
        {
            "generation_status": "COMPLETED",
            "generation_progress": 100,
            "generation_job_id": "7",
            "generation_completed_at": ONCE,
        },
    ],
    ids=str,
)
def test_other_episodes_stay_as_they_are_both_ways(fields):
    episode = published(**fields)
    was = told(episode)
    migrate(AFTER)
    assert told(episode) == was
    migrate(BEFORE)
    assert told(episode) == was


def test_episode_archived_since_is_put_back_and_one_generated_since_is_not():
    archived, generated = published(), published()
    migrate(AFTER)
    Episode.objects.filter(pk=archived.pk).update(status=Episode.Status.ARCHIVED)
    Episode.objects.filter(pk=generated.pk).update(
        generation_job_id="7", generation_completed_at=timezone.now()
    )
    migrate(BEFORE)
    assert told(archived) == ("PENDING", 0)
    assert told(generated) == ("COMPLETED", 100)


def test_run_again_after_it_died_completes_the_rest(monkeypatch):
    monkeypatch.setattr(migration, "ROWS", 1)
    episodes = [published() for _ in range(3)]
    pages = migration._pages

    def dying(found):
        yield next(pages(found))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migration, "_pages", dying)
        with pytest.raises(KeyboardInterrupt):
            migrate(AFTER)
    assert [told(episode)[1] for episode in episodes] == [100, 0, 0]

    migrate(AFTER)
    assert [told(episode)[1] for episode in episodes] == [100, 100, 100]


def test_each_page_is_a_statement_of_its_own(monkeypatch):
    """So that nobody waits for more than a page."""
    monkeypatch.setattr(migration, "ROWS", 2)
    assert migration.Migration.atomic is False
    for _ in range(4):
        published()
    found = list(migration._pages(Episode.objects))
    pks = sorted(Episode.objects.values_list("pk", flat=True))
    assert found == [(pks[0], pks[1]), (pks[2], pks[3])]
