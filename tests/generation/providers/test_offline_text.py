from __future__ import annotations

import pytest

from generation.providers.contract import ProviderFailed, Usage
from generation.providers.offline_text import OfflineText, chosen_sentences, spoken_title
from generation.script.outline import Chapter
from generation.script.script import MAX_TURN_CHARS, Script, check_fits, join
from generation.script.source import LeftOut, Source
from tests.generation.sources import make_source

PARTS = (
    ("Part one", [("Birds / Swifts", ["They fly.", "They sleep."]), ("Fish", ["Fish swim."])]),
    ("Part two", [("Part two", ["The end."])]),
)


def script_of(source: Source) -> Script:
    provider = OfflineText()
    outline, _ = provider.outline(source)
    script, usage = provider.script(source, outline)
    assert usage == Usage()
    check_fits(script, outline, source.type)
    return script


def said(script: Script) -> list[tuple[str, int, str]]:
    return [(turn.speaker, turn.chapter, turn.text) for turn in script.turns]


def test_outline_has_a_chapter_for_each_part_and_a_topic_for_each_item() -> None:
    outline, usage = OfflineText().outline(make_source(*PARTS))
    assert outline.title == "An episode"
    assert outline.chapters == (
        Chapter(1, "Part one", ("Birds: Swifts", "Fish")),
        Chapter(2, "Part two", ("Part two",)),
    )
    assert usage == Usage()


def test_script_of_a_solo_episode_is_told_by_the_host() -> None:
    left_out = (LeftOut(9, "Empty."),)
    script = script_of(make_source(*PARTS, left_out=left_out))
    assert said(script) == [
        ("host", 0, "Part one."),
        ("host", 0, "Birds: Swifts. They fly."),
        ("host", 0, "They sleep."),
        ("host", 0, "Fish swim."),
        ("host", 1, "Part two."),
        ("host", 1, "The end."),
    ]
    assert script.left_out == left_out


def test_script_of_a_dialogue_is_told_by_turns() -> None:
    assert said(script_of(make_source(*PARTS, type="dialogue"))) == [
        ("host", 0, "Part one."),
        ("host", 0, "Birds: Swifts."),
        ("guest", 0, "They fly."),
        ("host", 0, "They sleep."),
        ("guest", 0, "Fish swim."),
        ("host", 1, "Part two."),
        ("guest", 1, "The end."),
    ]


def test_script_does_not_say_the_episodes_title() -> None:
    assert script_of(make_source(*PARTS)) == script_of(make_source(*PARTS, title="Copy"))


def test_script_of_portions_joined_is_the_whole_script() -> None:
    source = make_source(*PARTS, type="dialogue", left_out=(LeftOut(9, "Empty."),))
    provider = OfflineText()
    outline, _ = provider.outline(source)
    portions = [provider.script(each, outline)[0] for each in provider.portions(source)]
    assert len(portions) == 2
    assert join(portions, source.left_out) == script_of(source)


def test_script_of_a_passage_too_long_for_one_turn_has_several() -> None:
    source = make_source(("Part", [("Item", ["Word " * 9_000])]))
    script = script_of(source)
    assert max(len(turn.text) for turn in script.turns) <= MAX_TURN_CHARS
    assert Script.from_json(script.as_json()) == script


def test_chosen_sentences_of_a_short_passage_are_all() -> None:
    assert chosen_sentences("One. Two. Three.") == ["One.", "Two.", "Three."]


def test_chosen_sentences_of_a_long_passage_keep_the_first_and_the_subject_in_order() -> None:
    about = [f"Swifts number {index} fly over rooftops." for index in range(7)]
    aside = [f"Unrelated remark: xyz{index} abc{index}." for index in range(4)]
    text = " ".join(["A beginning.", *aside[:2], *about, *aside[2:]])
    assert chosen_sentences(text) == ["A beginning.", *about]


@pytest.mark.parametrize(
    ("title", "spoken"),
    [("A / B", "A: B"), ("Help / help", "Help"), ("A / B / a", "A: B"), ("and/or", "and/or")],
)
def test_spoken_title_has_no_slashes_and_no_step_twice(title: str, spoken: str) -> None:
    assert spoken_title(title) == spoken


def test_estimate_says_the_characters_of_the_script() -> None:
    source = make_source(*PARTS)
    assert OfflineText().estimate(source) == Usage(chars=script_of(source).chars)
    assert OfflineText().estimate(make_source()) == Usage()


def test_source_without_passages_fails_with_the_way_out() -> None:
    empty = make_source(left_out=(LeftOut(1, "Empty."),))
    with pytest.raises(ProviderFailed, match="nothing to say: 1 blocks were left out") as failed:
        OfflineText().outline(empty)
    assert failed.value.code == "provider_input"
