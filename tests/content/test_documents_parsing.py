from __future__ import annotations

import pytest

from content.documents.parsing import parse_document
from content.exceptions import InvalidDocument


def test_parse_with_byte_order_mark_ignores_it() -> None:
    assert parse_document('\ufeff{"title": "é"}'.encode()) == {"title": "é"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"", "$: Not JSON at line 1, column 1: Expecting value."),
        (b'{"a": 1,\n "b" 2}', "$: Not JSON at line 2, column 6: Expecting ':' delimiter."),
        (b'{"a":\n "\xff"}', "$: Not UTF-8 at line 2, byte 3 of the line: save the file as UTF-8."),
        (b'{"a": NaN}', "$: NaN is not JSON."),
    ],
)
def test_parse_with_unreadable_source_names_line_and_column(source: bytes, expected: str) -> None:
    with pytest.raises(InvalidDocument) as raised:
        parse_document(source)
    assert [str(mistake) for mistake in raised.value.mistakes] == [expected]


@pytest.mark.parametrize("source", [b"[" * 200_000, b'{"a": ' + b"9" * 10_000 + b"}"])
def test_parse_with_hostile_source_refuses(source: bytes) -> None:
    with pytest.raises(InvalidDocument):
        parse_document(source)
