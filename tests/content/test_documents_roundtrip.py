"""Import and export together: what goes in comes out."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings

from content.documents.exporting import export_episode
from content.documents.parsing import parse_document
from content.exceptions import InvalidDocument
from content.links import LINK_PATTERN
from content.models import Block, Episode, Item, Part
from content.services import import_episode
from tests.content.documents import block, document, documents, item, part
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory

pytestmark = pytest.mark.django_db

SAMPLE = Path(__file__).parents[2] / "content" / "samples" / "welcome.json"


def exported(episode: Episode) -> str:
    return "".join(export_episode(episode))


def test_export_of_the_sample_imported_equals_it_up_to_keys() -> None:
    source = parse_document(SAMPLE.read_bytes())
    episode = import_episode(document=source, owner=None)
    text = exported(episode)
    found = json.loads(text)
    assert text == json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    assert found["title"] == source["title"]
    assert [len(each["items"]) for each in found["parts"]] == [3, 3, 2]
    assert found["parts"][0]["items"][0]["blocks"][2]["field_2"] == (
        "<p>Write a promise for each of your next three episodes. Then read "
        '<a href="content:block/p1.i3.b2">how a promise becomes an opening</a>.</p>'
    )
    assert found["parts"][1]["name"].endswith("(see content:item/p1.i2 first)")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(documents())
def test_import_then_export_is_a_fixed_point(tree: dict[str, Any]) -> None:
    first = exported(import_episode(document=tree, owner=None))
    again = exported(import_episode(document=json.loads(first), owner=None))
    assert again == first


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(documents())
def test_export_keeps_every_value_and_every_link(tree: dict[str, Any]) -> None:
    found = json.loads(exported(import_episode(document=tree, owner=None)))
    assert _followed(found) == _followed(tree)


def _followed(tree: dict[str, Any]) -> Any:
    """The tree without its keys, each link replaced by the place of its target."""
    places = {}
    for p, each_part in enumerate(tree["parts"]):
        places["part", each_part["key"]] = (p,)
        for i, each_item in enumerate(each_part["items"]):
            places["item", each_item["key"]] = (p, i)
            for b, each_block in enumerate(each_item["blocks"]):
                places["block", each_block["key"]] = (p, i, b)

    def place(match: re.Match[str]) -> str:
        level, key = match.groups()
        while (level, key) not in places:
            assert key.endswith(".")
            key = key[:-1]
        return f"<{level} {places[level, key]}>{match.group(2)[len(key) :]}"

    def followed(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(LINK_PATTERN, place, value)
        if isinstance(value, list):
            return [followed(each) for each in value]
        if isinstance(value, dict):
            return {name: followed(each) for name, each in value.items() if name != "key"}
        return value

    return followed(tree)


def test_import_with_links_in_every_direction_writes_ids() -> None:
    tree = document(
        part(
            "a",
            item("x", block("b", field_1="content:block/c", field_2="content:item/y."), name="n"),
            item("y", block("c", field_3="content:part/a content:block/b"), name="content:part/a"),
            name="content:block/c",
        )
    )
    episode = import_episode(document=tree, owner=None)
    found = Part.objects.get(episode=episode)
    x, y = Item.objects.filter(part=found)
    b, c = Block.objects.get(item=x), Block.objects.get(item=y)
    assert found.name == f"content:block/{c.pk}"
    assert (y.name, b.field_1) == (f"content:part/{found.pk}", f"content:block/{c.pk}")
    assert b.field_2 == f"content:item/{y.pk}."
    assert c.field_3 == f"content:part/{found.pk} content:block/{b.pk}"


def test_import_keeps_null_apart_from_empty() -> None:
    tree = document(part("a", item("x", block("b", field_1="", media=""), name="")))
    import_episode(document=tree, owner=None)
    found = Block.objects.get()
    assert (found.field_1, found.field_2, found.media, found.item.name) == ("", None, "", "")


def test_import_with_name_too_long_for_its_ids_refuses_and_imports_nothing() -> None:
    name = "x" * (254 - len("content:part/k")) + " content:part/k"
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('parts', 'id'), 1000)")
    with pytest.raises(InvalidDocument) as raised:
        import_episode(document=document(part("k", name=name)), owner=None)
    assert [str(mistake) for mistake in raised.value.mistakes] == [
        "$.parts[0].name: With its links' ids: Expected at most 255 characters, not 258."
    ]
    assert not Episode.objects.exists()


def test_import_with_invalid_document_imports_nothing() -> None:
    with pytest.raises(InvalidDocument):
        import_episode(document=document(part("a"), part("a")), owner=None)
    assert not Episode.objects.exists()


def test_import_takes_the_same_number_of_queries_for_more_rows() -> None:
    counts = []
    for size in (1, 300):
        blocks = [block(f"b{n}", field_1=f"content:block/b{n}") for n in range(size)]
        with CaptureQueriesContext(connection) as queries:
            import_episode(document=document(part("a", item("x", *blocks))), owner=None)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_export_with_equal_positions_orders_by_id() -> None:
    found = PartFactory()
    ItemFactory(part=found, position=1, name="third")
    ItemFactory(part=found, position=0, name="first")
    ItemFactory(part=found, position=0, name="second")
    items = json.loads(exported(found.episode))["parts"][0]["items"]
    assert [(each["key"], each["name"]) for each in items] == [
        ("p1.i1", "first"),
        ("p1.i2", "second"),
        ("p1.i3", "third"),
    ]


def test_export_with_link_out_of_the_tree_keeps_the_id_and_import_names_the_place() -> None:
    other = PartFactory()
    found = BlockFactory(field_2=f"content:part/{other.pk}. content:item/nowhere")
    text = exported(found.item.part.episode)
    value = json.loads(text)["parts"][0]["items"][0]["blocks"][0]["field_2"]
    assert value == found.field_2
    with pytest.raises(InvalidDocument) as raised:
        import_episode(document=json.loads(text), owner=None)
    assert [mistake.json_path for mistake in raised.value.mistakes] == [
        "$.parts[0].items[0].blocks[0].field_2"
    ] * 2


def test_export_of_an_empty_episode_is_a_document() -> None:
    episode = EpisodeFactory(title='A "title"\n')
    assert json.loads(exported(episode)) == {"title": 'A "title"\n', "parts": []}


def test_export_of_a_large_tree_comes_in_pieces() -> None:
    tree = document(part("a", item("x", *[block(f"b{n}", field_2="t" * 500) for n in range(600)])))
    pieces = list(export_episode(import_episode(document=tree, owner=None)))
    assert len(pieces) > 3
    assert max(len(piece) for piece in pieces) < 100_000


@pytest.mark.django_db(transaction=True)
def test_export_left_early_ends_its_transaction() -> None:
    blocks = [block(f"b{n}", field_2="t" * 500) for n in range(600)]
    episode = import_episode(document=document(part("a", item("x", *blocks))), owner=None)
    pieces = export_episode(episode)
    next(pieces)
    assert connection.in_atomic_block
    pieces.close()
    assert not connection.in_atomic_block
    Episode.objects.filter(pk=episode.pk).update(title="Writable again")


@pytest.mark.django_db(transaction=True)
def test_export_sees_one_moment_though_rows_change_meanwhile() -> None:
    blocks = [block(f"b{n}", field_2="t" * 500) for n in range(600)]
    episode = import_episode(document=document(part("a", item("x", *blocks))), owner=None)
    before = exported(episode)
    pieces = export_episode(episode)
    first = next(pieces)

    def change() -> None:
        Block.objects.filter(position__gte=300).delete()
        connection.close()

    thread = threading.Thread(target=change)
    thread.start()
    thread.join()
    assert first + "".join(pieces) == before
