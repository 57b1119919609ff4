from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from content.admin import nodes, pagination
from content.models import Block, Episode, Item, Part
from content.synthetic import make_episode
from tests.factories.content import BlockFactory, EpisodeFactory, PartFactory, UserFactory

pytestmark = pytest.mark.django_db

CRUMB_MARK = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


@pytest.fixture
def admin() -> User:
    return UserFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def browser(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


def list_url(model: type, **query: Any) -> str:
    pairs = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{reverse(f'admin:content_{model.__name__.lower()}_changelist')}?{pairs}"


def change_url(node: Any) -> str:
    return reverse(f"admin:content_{type(node).__name__.lower()}_change", args=[node.pk])


def delete_url(node: Any) -> str:
    return reverse(f"admin:content_{type(node).__name__.lower()}_delete", args=[node.pk])


def rows(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


def trail(response: Any) -> list[str]:
    html = re.search(r'<div class="breadcrumbs">(.*?)</div>', response.text, re.DOTALL)
    assert html
    return [
        " ".join(re.sub("<.*?>", "", crumb).split())
        for crumb in unescape(html[1]).split(CRUMB_MARK)
    ]


def test_episode_list_hides_copies_in_the_making(browser: Client) -> None:
    EpisodeFactory(title="Seen")
    hidden = EpisodeFactory(status=Episode.Status.COPYING)
    part = PartFactory(episode=hidden)
    assert [each.title for each in rows(browser.get(list_url(Episode)))] == ["Seen"]
    assert rows(browser.get(list_url(Part))) == []
    assert browser.get(change_url(part), follow=True).redirect_chain


def test_episode_list_links_to_its_parts_with_their_number(browser: Client) -> None:
    episode = make_episode(parts=3, items=0, blocks=0)
    text = browser.get(list_url(Episode)).text
    assert f'<a href="/admin/content/part/?episode={episode.pk}">Parts (3) →</a>' in text


@pytest.mark.parametrize("model", [Episode, Part, Item, Block])
def test_lists_take_the_same_number_of_queries_for_more_rows(browser: Client, model: type) -> None:
    counts = []
    for _ in range(2):
        make_episode(parts=2, items=2, blocks=10)
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(list_url(model)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


def test_lists_never_count_without_a_bound(browser: Client) -> None:
    episode = make_episode(parts=2, items=2, blocks=2)
    item = Item.objects.first()
    assert item
    urls = [list_url(Block), list_url(Block, item=item.pk), list_url(Block, episode=episode.pk)]
    for url in [*urls, list_url(Item), delete_url(episode), change_url(episode)]:
        with CaptureQueriesContext(connection) as queries:
            browser.get(url)
        counts = [each["sql"] for each in queries if "COUNT(" in each["sql"].upper()]
        assert counts
        assert all("LIMIT" in sql for sql in counts), counts


def test_block_list_below_an_item_is_in_the_order_shown(browser: Client) -> None:
    second = BlockFactory(position=1)
    first = BlockFactory(item=second.item, position=0)
    BlockFactory()
    assert rows(browser.get(list_url(Block, item=second.item_id))) == [first, second]


def test_block_list_below_an_item_beyond_the_bound_is_by_id(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "MAX_SORTED", 1)
    second = BlockFactory(position=1)
    first = BlockFactory(item=second.item, position=0)
    assert rows(browser.get(list_url(Block, item=second.item_id))) == [second, first]


def test_block_list_below_an_episode_or_part_holds_its_blocks(browser: Client) -> None:
    block = BlockFactory()
    BlockFactory()
    part = block.item.part
    assert rows(browser.get(list_url(Block, episode=part.episode_id))) == [block]
    assert rows(browser.get(list_url(Block, part=part.pk))) == [block]
    assert rows(browser.get(list_url(Block, part=PartFactory().pk))) == []


@pytest.mark.parametrize("value", ["999999999", "x", "", "9" * 40])
def test_block_list_below_an_unknown_item_is_empty(browser: Client, value: str) -> None:
    BlockFactory()
    response = browser.get(list_url(Block, item=value))
    assert response.status_code == 200
    assert rows(response) == []


def test_block_list_past_the_bound_says_at_least(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "COUNT_LIMIT", 120)
    make_episode(parts=1, items=1, blocks=350)
    item = Item.objects.get()
    first = browser.get(list_url(Block, item=item.pk))
    assert "120+" in first.text
    assert len(rows(first)) == 100
    last = browser.get(list_url(Block, item=item.pk, p=4))
    assert len(rows(last)) == 50
    assert "350" in last.text


def test_block_list_without_filter_past_the_bound_estimates(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "COUNT_LIMIT", 120)
    make_episode(parts=1, items=1, blocks=350)  # analyzes the table
    response = browser.get(list_url(Block))
    assert "about 350" in response.text
    assert len(rows(browser.get(list_url(Block, p=4)))) == 50


def test_block_search_without_parent_finds_by_id_alone(browser: Client) -> None:
    block = BlockFactory(field_2="needle")
    assert rows(browser.get(list_url(Block, q=block.pk))) == [block]
    response = browser.get(list_url(Block, q="needle"))
    assert rows(response) == []
    assert "An id finds its row." in response.text


def test_block_search_below_a_parent_finds_text_and_id(browser: Client) -> None:
    # Its number is in no other's text.
    block = BlockFactory(pk=987_654_321, field_3="A NeeDle")
    BlockFactory(item=block.item)
    BlockFactory(field_3="needle")
    item = block.item
    assert rows(browser.get(list_url(Block, item=item.pk, q="needle"))) == [block]
    assert rows(browser.get(list_url(Block, episode=item.part.episode_id, q="needle"))) == [block]
    assert rows(browser.get(list_url(Block, item=item.pk, q=block.pk))) == [block]


def test_block_search_beyond_the_bound_tells_what_was_searched(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "MAX_SEARCHED", 2)
    first = BlockFactory(field_2="needle")
    BlockFactory(item=first.item)
    BlockFactory(item=first.item, field_2="needle")
    response = browser.get(list_url(Block, item=first.item_id, q="needle"))
    assert rows(response) == [first]
    assert "Only the first 2 blocks of this list were searched." in response.text


def test_breadcrumbs_of_a_change_page_follow_the_tree(browser: Client) -> None:
    block = BlockFactory(name="The block")
    item = block.item
    assert trail(browser.get(change_url(block))) == [
        "Home",
        "Episodes",
        item.part.episode.title,
        item.part.name,
        item.name,
        "The block",
    ]
    assert trail(browser.get(reverse("admin:content_block_add")))[-1] == "Add block"


def test_breadcrumbs_of_a_filtered_list_follow_the_tree(browser: Client) -> None:
    block = BlockFactory()
    part = block.item.part
    episode = part.episode.title
    found = trail(browser.get(list_url(Block, item=block.item_id)))
    assert found == ["Home", "Episodes", episode, part.name, block.item.name, "Blocks"]
    found = trail(browser.get(list_url(Item, part=part.pk)))
    assert found == ["Home", "Episodes", episode, part.name, "Items"]
    assert trail(browser.get(list_url(Block))) == ["Home", "Blocks"]


def test_change_page_saves_an_episode_and_offers_no_copying(browser: Client) -> None:
    episode = EpisodeFactory()
    text = browser.get(change_url(episode)).text
    assert 'value="copying"' not in text
    form = {"title": "New", "owner": "", "type": "dialogue", "status": "archived"}
    assert browser.post(change_url(episode), form).status_code == 302
    episode.refresh_from_db()
    assert (episode.title, episode.type, episode.status) == ("New", "dialogue", "archived")
    assert browser.post(change_url(episode), {**form, "status": "copying"}).status_code == 200


def test_add_page_makes_a_block(browser: Client) -> None:
    item = BlockFactory().item
    form = {"item": item.pk, "position": 7, "name": "New", "field_1": "", "media": ""}
    assert browser.post(reverse("admin:content_block_add"), form).status_code == 302
    assert Block.objects.filter(item=item, name="New", position=7).exists()


def test_delete_page_counts_and_deletes_the_tree(browser: Client) -> None:
    episode = make_episode(parts=2, items=2, blocks=3)
    text = browser.get(delete_url(episode)).text
    summary = re.findall(r"<li>(\w+: [\d,+]+)</li>", text)
    assert summary == ["Episodes: 1", "Parts: 2", "Items: 4", "Blocks: 12"]
    assert browser.post(delete_url(episode), {"post": "yes"}).status_code == 302
    assert not Block.objects.exists()
    assert not Episode.objects.exists()


def test_delete_page_without_permission_on_what_is_below_refuses(client: Client) -> None:
    user = UserFactory(is_staff=True, permissions=["view_episode", "delete_episode"])
    client.force_login(user)
    episode = make_episode(parts=1, items=1, blocks=1)
    assert "your account doesn" in client.get(delete_url(episode)).text
    assert client.post(delete_url(episode), {"post": "yes"}).status_code == 403
    assert Episode.objects.exists()


def test_delete_action_deletes_the_selected(browser: Client) -> None:
    gone, kept = make_episode(parts=1, items=1, blocks=2), make_episode(parts=1, items=1, blocks=2)
    form = {"action": "delete_selected", "_selected_action": gone.pk, "post": "yes"}
    browser.post(list_url(Episode), form)
    assert list(Episode.objects.all()) == [kept]
    assert Block.objects.count() == 2


def test_delete_action_with_too_many_selected_refuses(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "MAX_SELECTED_FOR_DELETION", 2)
    make_episode(parts=3, items=0, blocks=0)
    form = {
        "action": "delete_selected",
        "_selected_action": list(Part.objects.values_list("pk", flat=True)),
        "post": "yes",
    }
    response = browser.post(list_url(Part), form, follow=True)
    assert "Nothing was deleted: more than 2 rows are selected." in response.text
    assert Part.objects.count() == 3


def test_pages_hold_no_inline_script_or_style(browser: Client) -> None:
    block = BlockFactory()
    item = block.item
    episode = item.part.episode
    urls = [list_url(model) for model in (Episode, Part, Item, Block)]
    urls += [change_url(each) for each in (episode, item.part, item, block)]
    urls += [delete_url(episode), list_url(Block, item=item.pk, q="x"), list_url(Item, _popup=1)]
    for url in urls:
        text = browser.get(url).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text), url
