from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content.links import Link, as_id, is_key, linked_ids, rewrite_links, unknown_links


@pytest.mark.parametrize("key", ["a", "A-1", "30b3.f~x_y", "7", ".", "a."])
def test_is_key_with_allowed_characters_is_true(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize("key", ["", "a b", "a/b", "é", "a\n", "a:b", "٣"])
def test_is_key_with_other_characters_is_false(key: str) -> None:
    assert not is_key(key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("1", 1),
        ("4711", 4711),
        ("0", None),
        ("007", None),
        ("12a", None),
        ("٣", None),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
    ],
)
def test_as_id_reads_only_an_id_as_the_database_writes_it(key: str, expected: int | None) -> None:
    assert as_id(key) == expected


def test_rewrite_links_rewrites_each_link_and_nothing_else() -> None:
    text = 'x content:part/a <a href="content:item/b-1">content:page/a</a> content:block/a'
    seen: list[Link] = []

    def new_key(link: Link) -> str:
        seen.append(link)
        return str(len(seen))

    assert rewrite_links(text, new_key) == (
        'x content:part/1 <a href="content:item/2">content:page/a</a> content:block/3'
    )
    assert seen == [Link("part", "a"), Link("item", "b-1"), Link("block", "a")]


def test_rewrite_links_with_unknown_target_keeps_the_link() -> None:
    assert rewrite_links("content:item/a.", lambda _: None) == "content:item/a."


@pytest.mark.parametrize(
    ("keys", "expected"), [({"a": "1"}, "content:item/1.. B"), ({"a.": "2"}, "content:item/2. B")]
)
def test_rewrite_links_with_full_stops_prefers_the_longest_known_key(
    keys: dict[str, str], expected: str
) -> None:
    assert rewrite_links("content:item/a.. B", lambda link: keys.get(link.key)) == expected


def test_rewrite_links_with_a_key_of_full_stops_finds_it() -> None:
    assert rewrite_links("content:item/..", lambda link: {"..": "1"}.get(link.key)) == (
        "content:item/1"
    )


@given(st.text(st.sampled_from("content:/partemblock19.~ "), max_size=60))
def test_rewrite_links_to_their_own_keys_changes_nothing(text: str) -> None:
    assert rewrite_links(text, lambda link: link.key) == text


def test_unknown_links_names_each_place_without_the_sentences_full_stop() -> None:
    text = "content:item/a. content:part/a, content:item/b content:part/a"
    assert unknown_links(text, lambda link: link == Link("item", "a")) == [
        Link("part", "a"),
        Link("item", "b"),
        Link("part", "a"),
    ]


def test_linked_ids_leaves_out_what_is_no_id() -> None:
    text = "content:item/12. content:part/a content:block/3) content:block/3.5"
    assert linked_ids(text) == [("item", 12), ("block", 3)]
