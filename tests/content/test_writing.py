"""A copy in the making, or one that is being removed, is closed for writing."""

import threading
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from content.exceptions import EpisodeClosed
from content.models import Block, Episode, Item, Part
from content.services import update_episode
from tests.factories.content import BlockFactory, ItemFactory, PartFactory, UserFactory

pytestmark = pytest.mark.django_db

HIDDEN = pytest.mark.parametrize(
    ("status", "told"), [("copying", "a copy in the making"), ("removing", "being removed")]
)


@pytest.fixture
def browser(client):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def block():
    return BlockFactory()


def chain(block):
    """The rows that could be parents: by the level below."""
    item = block.item
    return {Part: item.part.episode, Item: item.part, Block: item}


def post(browser, model, parent, pk=None):
    name = model._meta.model_name
    field = {Part: "episode", Item: "part", Block: "item"}[model]
    url = reverse(f"admin:content_{name}_{'change' if pk else 'add'}", args=[pk] if pk else [])
    return browser.post(url, {field: parent.pk, "position": 0, "name": "by hand"})


def errors(response):
    return response.context["adminform"].form.errors


def hide(block, status="removing"):
    Episode.objects.filter(pk=block.item.part.episode_id).update(status=status)


@HIDDEN
@pytest.mark.parametrize("model", [Part, Item, Block])
def test_add_below_a_hidden_episode_is_refused_at_the_field(browser, block, model, status, told):
    hide(block, status)
    response = post(browser, model, chain(block)[model])
    ((field, messages),) = errors(response).items()
    assert field in ("episode", "part", "item")
    assert told in messages[0]
    assert not model.objects.filter(name="by hand").exists()


@pytest.mark.parametrize("factory", [PartFactory, ItemFactory, BlockFactory])
def test_move_into_a_hidden_episode_is_refused_at_the_field(browser, block, factory):
    hide(block)
    row = factory()
    model = type(row)
    response = post(browser, model, chain(block)[model], row.pk)
    assert "being removed" in str(errors(response))
    before = row.name
    row.refresh_from_db()
    assert row.name == before


def test_add_and_move_within_an_episode_that_is_there_are_saved(browser, block):
    item = ItemFactory()
    assert post(browser, Block, block.item).status_code == 302
    assert post(browser, Block, item, block.pk).status_code == 302
    block.refresh_from_db()
    assert block.item == item
    assert Block.objects.filter(name="by hand").count() == 2


def test_update_episode_that_was_hidden_since_it_was_read_is_refused(block):
    episode = block.item.part.episode
    hide(block)
    with pytest.raises(EpisodeClosed, match="being removed"):
        update_episode(episode=episode, changes={"status": "draft"})
    episode.refresh_from_db()
    assert episode.status == "removing"


@contextmanager
def being_hidden(episode, waiting):
    """Hides the episode as soon as `waiting` goes for it, and commits only then."""
    with transaction.atomic():
        Episode.objects.filter(pk=episode.pk).update(status="removing")
        waiting.start()
        while not _waits_for_a_lock():
            assert waiting.is_alive(), "it didn't wait"
    waiting.join(timeout=30)
    yield


def _waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", ["add", "move_out", "edit", "edit_episode"])
def test_write_while_the_episode_is_being_hidden_waits_and_is_refused(block, act):
    user, elsewhere = UserFactory(is_staff=True, is_superuser=True), ItemFactory()
    episode, answers = block.item.part.episode, []

    def write():
        browser = Client()
        browser.force_login(user)
        if act == "edit_episode":
            url = reverse("admin:content_episode_change", args=[episode.pk])
            fields = {"title": "by hand", "type": "solo", "status": "draft"}
            answers.append(browser.post(url, fields))
        elif act == "add":
            answers.append(post(browser, Block, block.item))
        else:
            parent = elsewhere if act == "move_out" else block.item
            answers.append(post(browser, Block, parent, block.pk))
        connection.close()

    with being_hidden(episode, threading.Thread(target=write)):
        pass

    assert "being removed" in str(errors(answers[0]))
    assert not Block.objects.filter(name="by hand").exists()
    title = episode.title
    episode.refresh_from_db()
    assert (episode.status, episode.title) == ("removing", title)
