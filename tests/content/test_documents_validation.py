from __future__ import annotations

from typing import Any

import pytest

from content.documents.parsing import parse_document
from content.documents.validation import validate_document
from content.exceptions import InvalidDocument
from tests.content.documents import block, document, item, part


def mistakes(value: object) -> list[str]:
    with pytest.raises(InvalidDocument) as raised:
        validate_document(value)
    return [str(mistake) for mistake in raised.value.mistakes]


def test_validate_with_all_levels_gives_rows_in_document_order() -> None:
    found = validate_document(
        document(part("a", item("x"), item("y", block("b", media="m.mp3"))), part("b", item("z")))
    )
    assert [(row.parent, row.position, row.key) for row in found.rows["item"]] == [
        (0, 0, "x"),
        (0, 1, "y"),
        (1, 0, "z"),
    ]
    assert found.rows["block"][0].values == (None, None, None, None, "m.mp3")


def test_validate_with_nullable_fields_left_out_reads_null() -> None:
    tree = {
        "title": "T",
        "parts": [{"key": "a", "items": [{"key": "b", "blocks": [{"key": "c"}]}]}],
    }
    assert validate_document(tree).rows["block"][0].values == (None,) * 5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "$: Expected an object, not null."),
        ([], "$: Expected an object, not a list."),
        ({"parts": []}, '$: "title" is missing.'),
        ({"title": "T"}, '$: "parts" is missing.'),
        (document(title=" "), "$.title: Expected a title, not an empty one."),
        (document(title="x" * 256), "$.title: Expected at most 255 characters, not 256."),
        ({"title": 1, "parts": []}, "$.title: Expected a string, not a number."),
        ({"title": None, "parts": []}, "$.title: Expected a string, not null."),
        ({"title": "T", "parts": {}}, "$.parts: Expected a list of parts, not an object."),
        ({"title": "T", "parts": [True]}, "$.parts[0]: Expected an object, not true."),
        (
            {**document(), "colour": 1},
            "$.colour: Unknown field. Expected one of: title, parts.",
        ),
        (
            {**document(), "a b": 1},
            "$['a b']: Unknown field. Expected one of: title, parts.",
        ),
        (document({"key": "a", "name": None}), '$.parts[0]: "items" is missing.'),
        (document({"name": "a", "items": []}), '$.parts[0]: "key" is missing.'),
        (
            document(part("a b")),
            "$.parts[0].key: Expected a key of letters (a-z, A-Z), digits, and any of . _ ~ -",
        ),
        (
            document(part("a", item("x")), part("b", item("y"), item("x"))),
            '$.parts[1].items[1].key: "x" is the key of another item already, '
            "at $.parts[0].items[0].",
        ),
        (
            document(part("a", item("x", block("b", field_2=["t"])))),
            "$.parts[0].items[0].blocks[0].field_2: Expected a string or null, not a list.",
        ),
        (
            document(part("a", item("x", block("b", media="m" * 256)))),
            "$.parts[0].items[0].blocks[0].media: Expected at most 255 characters, not 256.",
        ),
        (
            document(part("a", name="content:item/gone. ")),
            '$.parts[0].name: Link to content:item/gone: the document has no item "gone".',
        ),
        (
            document(part("a", name="content:item/17")),
            '$.parts[0].name: Link to content:item/17: the document has no item "17".',
        ),
        (
            document(part("a", name="x\0")),
            "$.parts[0].name: Holds the character U+0000, which can't be stored.",
        ),
        (
            document(part("a", name="\ud83d")),
            "$.parts[0].name: Holds half a surrogate pair (U+D83D), which is not a character.",
        ),
    ],
)
def test_validate_with_one_mistake_names_its_place(value: Any, expected: str) -> None:
    assert mistakes(value) == [expected]


def test_validate_with_several_mistakes_lists_them_all() -> None:
    value = document(part("a", item("?", block("b", field_1=1, name="content:part/no"))), title="")
    assert [mistake.split(":")[0] for mistake in mistakes(value)] == [
        "$.title",
        "$.parts[0].items[0].key",
        "$.parts[0].items[0].blocks[0].field_1",
        "$.parts[0].items[0].blocks[0].name",
    ]


def test_validate_with_very_many_mistakes_stops_at_twenty() -> None:
    with pytest.raises(InvalidDocument) as raised:
        validate_document(document(*[part("same") for _ in range(50)]))
    assert len(raised.value.mistakes) == 20
    assert not raised.value.is_complete


def test_validate_with_same_key_on_two_levels_accepts() -> None:
    assert validate_document(document(part("a", item("a", block("a"))))).rows["block"]


def test_validate_with_field_given_twice_refuses() -> None:
    value = parse_document(b'{"title": "a", "title": "b", "parts": []}')
    assert mistakes(value) == ["$.title: Given more than once in the same object."]


def test_validate_with_name_that_only_its_link_makes_long_leaves_it_to_the_ids() -> None:
    name = "x" * 230 + " content:part/" + "k" * 40
    assert validate_document(document(part("k" * 40, name=name)))
