from __future__ import annotations

import pytest

from generation.script.markup import clean, read_words


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<p>One <b>bold</b> word.</p>", "One bold word."),
        ("<p>Half<em>way</em></p>", "Halfway."),
        ("<h3>Try it!</h3><p>Do this</p>", "Try it!\nDo this."),
        ("Such as:<ul><li>Settings</li><li>Tools,</li></ul>", "Such as:\nSettings.\nTools."),
        ("One<br/>two", "One.\ntwo."),
        ("<p>a&nbsp;b &amp; c</p>", "a b & c."),
        ("<td>A</td><table><tr><td>B</td><td>C</td></tr></table>", "A.\nB.\nC."),
        ("<p>Broken <b>markup", "Broken markup."),
        ("plain < text & more", "plain < text & more."),
        ("One\nline.\n\nNext paragraph", "One line.\nNext paragraph."),
        ("<p>你好</p>", "你好。"),
        ("<p>Done 😀 and®dusted™ at 20 °C</p>", "Done anddusted at 20 °C."),
        ("<annotatable><p>Sonnet <annotation title='x'>27</annotation></p></annotatable>",
         "Sonnet 27."),
    ],
)  # fmt: skip
def test_markup_is_read_as_its_words(markup: str, words: str) -> None:
    assert read_words(markup).text == words


@pytest.mark.parametrize(
    "markup",
    [
        "<script>alert('no')</script>",
        "<style>p { color: red }</style>",
        "<!-- a note -->",
        "<video youtube='1'><transcript language='en'/></video>",
        "<p hidden>nobody sees this</p>",
        "<span aria-hidden='true'>decoration</span>",
        "<span class='big material-symbols-outlined'>menu_book</span>",
        "<svg><text>drawn</text></svg>",
        "<img src='a.png' alt='A picture'>",
        "<button>Send</button>",
        "<p>— * —</p>",
        "<p></p>",
        "",
    ],
)
def test_markup_without_speech_has_no_words(markup: str) -> None:
    assert read_words(markup).text == ""


def test_controls_in_markup_are_noticed() -> None:
    assert read_words("<p>Useful?</p><button>Yes</button>").has_controls
    assert not read_words("<p>Useful.</p>").has_controls


def test_markup_nested_a_hundred_thousand_deep_is_read() -> None:
    assert read_words("<i>" * 100_000 + "deep").text == "deep."


def test_clean_makes_control_characters_and_spaces_one_space() -> None:
    assert clean("a\x00b\t c\u200b\n") == "a b c"
