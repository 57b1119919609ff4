from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.script.script import Script, Turn
from generation.script.segments import pieces, split

# Few letters meet limits more often; all of Unicode meets what nobody thought of.
PROSE = st.text(alphabet="a .", max_size=12) | st.text(
    alphabet=st.sampled_from(list("abcDE  ..,;!?\"'\n\té3")) | st.characters(codec="utf-8"),
    max_size=300,
)
LIMITS = st.integers(min_value=1, max_value=6) | st.integers(min_value=1, max_value=60)


def script_of(*texts: str) -> Script:
    return Script(tuple(Turn("host", 0, text) for text in texts))


@given(PROSE, LIMITS)
def test_pieces_never_pass_the_limit_nor_are_empty(text: str, limit: int) -> None:
    assert all(0 < len(piece) <= limit for piece in pieces(text, limit))


@given(PROSE, LIMITS)
def test_pieces_joined_are_the_text(text: str, limit: int) -> None:
    assert "".join("".join(pieces(text, limit)).split()) == "".join(text.split())


@given(st.lists(st.text(alphabet="abcé.,?! ", min_size=1, max_size=10), max_size=60))
def test_pieces_cut_no_word_that_fits(words: list[str]) -> None:
    text = " ".join(words)
    assert " ".join(pieces(text, 10)) == " ".join(text.split())


@given(st.text(alphabet="ab .!?", max_size=200), st.integers(min_value=1, max_value=10))
def test_pieces_under_a_wider_limit_are_never_more(text: str, limit: int) -> None:
    assert len(pieces(text, len(text) + limit)) <= 1


def test_pieces_are_cut_at_the_last_sentence_that_fits() -> None:
    assert pieces("One two. Three. Four five six.", 16) == ["One two. Three.", "Four five six."]


def test_pieces_of_a_sentence_too_long_are_cut_behind_clauses_then_words() -> None:
    text = "Short. First the one, then the other thing comes; last"
    assert pieces(text, 22) == ["Short.", "First the one,", "then the other thing", "comes; last"]


def test_pieces_do_not_cut_a_letter_from_its_accent() -> None:
    assert pieces("ab" + "e\u0301" * 3, 3) == ["ab", "e\u0301", "e\u0301", "e\u0301"]


def test_pieces_with_the_limit_exactly_reached_are_one() -> None:
    assert pieces("abc d", 3) == ["abc", "d"]
    assert pieces("One. Two.", 9) == ["One. Two."]
    assert pieces("One. Two. X.", 9) == ["One. Two.", "X."]


def test_split_numbers_segments_over_all_turns() -> None:
    script = Script((Turn("host", 0, "One. Two."), Turn("guest", 1, "Three — Four.")))
    assert [segment.as_json() for segment in split(script, 5)] == [
        {"number": 1, "chapter": 0, "speaker": "host", "text": "One."},
        {"number": 2, "chapter": 0, "speaker": "host", "text": "Two."},
        {"number": 3, "chapter": 1, "speaker": "guest", "text": "Three"},
        {"number": 4, "chapter": 1, "speaker": "guest", "text": "Four."},
    ]


def test_split_after_an_edit_keeps_the_segments_of_other_turns() -> None:
    before = split(script_of("A b c. D e f.", "G h i. J k l."), 7)
    after = split(script_of("A. B b c. D e f.", "G h i. J k l."), 7)
    assert [each.text for each in after[-2:]] == [each.text for each in before[-2:]]


def test_split_into_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        split(script_of("A."), 0)


def test_split_leaves_out_what_has_no_word() -> None:
    assert [each.text for each in split(script_of("Twelve ......... thirteen."), 9)] == [
        "Twelve",
        "thirteen.",
    ]
