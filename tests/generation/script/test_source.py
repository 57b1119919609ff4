from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from content.models import Episode
from content.synthetic import make_episode
from generation.script import source as source_module
from generation.script.source import FORM, NO_WORDS, ONLY_MEDIA, Source, SourceTooLong, read_source
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory

pytestmark = pytest.mark.django_db


def texts(source: Source) -> list[str]:
    return [passage.text for passage in source.passages]


def source_of(**fields: str | None) -> Source:
    """The source of an episode with one block of these fields."""
    block = BlockFactory(**fields)
    return read_source(block.item.part.episode)


def test_source_is_in_the_order_it_is_shown() -> None:
    episode = EpisodeFactory()
    for part_position, part_name in ((1, "Second"), (0, "First"), (1, "Third")):
        part = PartFactory(episode=episode, position=part_position, name=part_name)
        for item_position in (1, 0):
            item = ItemFactory(part=part, position=item_position, name=f"Item {item_position}")
            for block_position in (1, 0, 0):
                text = f"{part_name} {item_position} {block_position}."
                BlockFactory(item=item, position=block_position, field_2=text)
    source = read_source(episode)
    assert texts(source) == [
        f"{part} {item} {block}."
        for part in ("First", "Second", "Third")
        for item in (0, 1)
        for block in (0, 0, 1)
    ]
    ids = [passage.block_id for passage in source.passages if passage.text == "First 0 0."]
    assert ids == sorted(ids)
    assert [passage.item_title for passage in source.passages[:6]] == ["Item 0"] * 3 + [
        "Item 1"
    ] * 3


def test_source_of_another_episode_is_not_read() -> None:
    BlockFactory(field_2="Another.")
    assert read_source(EpisodeFactory()) == Source(
        Episode.objects.order_by("id").last().title, "solo", (), ()
    )


@pytest.mark.parametrize("kind", ["survey", "poll", "video", "problem", "lti", "discussion"])
def test_source_leaves_out_kinds_without_speech(kind: str) -> None:
    source = source_of(field_1=kind, field_2="<p>How old are you?</p>")
    assert source.passages == ()
    assert source.left_out[0].reason == source_module.SILENT_KINDS[kind]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"field_1": "html", "field_2": "<p> </p>"}, NO_WORDS),
        ({"field_1": None, "field_2": None}, NO_WORDS),
        ({"field_2": "<script>x()</script>"}, NO_WORDS),
        ({"field_2": "<img src='a.png'>", "media": "a.png"}, ONLY_MEDIA),
        ({"field_2": "<p>Useful?</p><button>Yes</button>"}, FORM),
    ],
)
def test_source_leaves_out_blocks_without_words(fields: dict[str, str | None], reason: str) -> None:
    source = source_of(**fields)
    assert source.passages == ()
    assert [left_out.reason for left_out in source.left_out] == [reason]


def test_source_reads_a_long_text_beside_a_button() -> None:
    source = source_of(field_2="<p>One. Two. Three.</p><button>Next</button>")
    assert texts(source) == ["One. Two. Three."]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"field_1": "html", "field_2": "<p>A.</p>", "field_3": '{"points": 3}'}, "A."),
        ({"field_1": "Words first.", "field_2": "And more."}, "Words first.\nAnd more."),
        ({"field_1": "alone", "field_2": None}, "alone."),
        ({"field_1": "new-kind", "field_2": "Its words."}, "Its words."),
        ({"field_2": "A.", "field_3": "<p>B.</p>"}, "A.\nB."),
        ({"field_2": "[sic] is read."}, "[sic] is read."),
    ],
)  # fmt: skip
def test_source_reads_the_fields_that_hold_words(fields: dict[str, str | None], text: str) -> None:
    assert texts(source_of(**fields)) == [text]


def test_source_links_become_their_words() -> None:
    target = ItemFactory(name="The <second> topic")
    link = f"content:item/{target.pk}"
    BlockFactory(item=target, field_2=f"<p>See <a href='{link}'>the topic</a> again.</p>")
    BlockFactory(item=target, field_2=f"<p>Then {link}. Or {link}, as you like.</p>")
    BlockFactory(item=target, field_2=f"<p>Gone: content:part/{2**40}.</p><p>content:block/7</p>")
    assert texts(read_source(target.part.episode)) == [
        "See the topic again.",
        "Then The <second> topic. Or The <second> topic, as you like.",
        "Gone:.",
    ]


def test_source_does_not_name_what_another_episode_holds() -> None:
    secret = ItemFactory(name="Secret")
    source = source_of(field_2=f"See content:item/{secret.pk}")
    assert texts(source) == ["See."]


def test_source_titles_of_unnamed_parts_are_counted_and_links_in_titles_spoken() -> None:
    episode = EpisodeFactory()
    PartFactory(episode=episode, name="Empty", position=0)
    for position, name in ((1, "First"), (2, None)):
        part = PartFactory(episode=episode, name=name, position=position)
        item = ItemFactory(part=part, name=f"To content:part/{part.pk}")
        BlockFactory(item=item)
    source = read_source(episode)
    # A part without blocks isn't heard of: it has no number.
    assert [passage.part_title for passage in source.passages] == ["First", "Part 2"]
    assert [passage.item_title for passage in source.passages] == ["To First", "To"]


def test_source_of_many_blocks_takes_no_query_for_each() -> None:
    episode = make_episode(parts=2, items=5, blocks=130)
    with CaptureQueriesContext(connection) as queries:
        source = read_source(episode)
    assert len(source.passages) + len(source.left_out) == 1_300
    assert len(queries) <= 1


def test_source_past_the_limit_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source_module, "MAX_CHARS", 9)
    with pytest.raises(SourceTooLong, match=r"9 characters.*Split it"):
        source_of(field_2="Ten chars.")


def test_source_with_too_many_blocks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "MAX_BLOCKS", 1)
    item = ItemFactory()
    BlockFactory.create_batch(2, item=item, field_2=None)
    with pytest.raises(SourceTooLong, match="1 blocks"):
        read_source(item.part.episode)


def test_source_of_a_copy_has_the_same_words() -> None:
    def read(title: str) -> list[tuple[str, str, str]]:
        part = PartFactory(episode=EpisodeFactory(title=title), name=None)
        item = ItemFactory(part=part, name="Item")
        BlockFactory(item=item, field_2=f"See content:item/{item.pk} and content:part/{part.pk}.")
        source = read_source(part.episode)
        return [(each.part_title, each.item_title, each.text) for each in source.passages]

    assert read("Original") == read("Original (copy)")
