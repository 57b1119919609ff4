from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.script.sentences import sentence_ends, sentences


@pytest.mark.parametrize(
    "expected",
    [
        ["One.", "Two!", "Three?"],
        ["Dr. Smith met Mrs. Jones.", "They spoke."],
        ["See e.g. Fig. 3 below.", "It helps."],
        ["J. K. Rowling wrote it.", "We read it."],
        ["“Really?” he asked.", "“Yes.”", "She left."],
        ['He said "Stop."', "Then nothing."],
        ["It cost 3.50 dollars in 1952.", "Today it is more."],
        ["Wait... what?", "Nothing…", "Go on."],
        ["Am 3. Mai kam Prof. Müller, z.B. mit Kuchen.", "Alle aßen."],
        ["¿Qué es?", "Nada."],
        ["Visit encore.example.org today.", "Now."],
    ],
)
def test_sentences_of_a_text_are_told_apart(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好。再见！走吧", ["你好。", "再见！", "走吧"]),  # noqa: RUF001
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("A heading\nA line.", ["A heading", "A line."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences_of_other_scripts_and_lines_are_told_apart(
    text: str, expected: list[str]
) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet='aB. !?\n。"3', max_size=80))
def test_sentence_ends_rise_to_the_end_of_the_text(text: str) -> None:
    ends = sentence_ends(text)
    assert ends == sorted(set(ends))
    assert (ends[-1] if ends else 0) == len(text)
