from __future__ import annotations

from typing import Any

import pytest

from generation.script import script as script_module
from generation.script.outline import Chapter, Outline
from generation.script.script import InvalidScript, Script, Turn, check_fits, join
from generation.script.source import LeftOut

OUTLINE = Outline("Title", (Chapter(1, "One", ("a", "b")), Chapter(2, "Two", ())))
TURN = {"speaker": "host", "chapter": 0, "text": "Words."}


def test_script_and_outline_come_back_from_json_as_they_were() -> None:
    script = Script((Turn("host", 0, "A."), Turn("guest", 1, "B\nC.")), (LeftOut(7, "Empty."),))
    assert Script.from_json(script.as_json()) == script
    assert Outline.from_json(OUTLINE.as_json()) == OUTLINE


def test_script_without_left_out_leaves_out_nothing() -> None:
    assert Script.from_json({"turns": [TURN]}).left_out == ()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (None, "script"),
        ([], "script"),
        ({}, "turns"),
        ({"turns": {}}, "turns"),
        ({"turns": []}, "turns"),
        ({"turns": [TURN], "extra": 1}, "script.extra"),
        ({"turns": [TURN, "words"]}, "turns[1]"),
        ({"turns": [{**TURN, "voice": "x"}]}, "turns[0].voice"),
        ({"turns": [{**TURN, "speaker": "moderator"}]}, "turns[0].speaker"),
        ({"turns": [{**TURN, "speaker": ["host"]}]}, "turns[0].speaker"),
        ({"turns": [{**TURN, "chapter": -1}]}, "turns[0].chapter"),
        ({"turns": [{**TURN, "chapter": True}]}, "turns[0].chapter"),
        ({"turns": [{**TURN, "chapter": "0"}]}, "turns[0].chapter"),
        ({"turns": [{**TURN, "text": None}]}, "turns[0].text"),
        ({"turns": [{**TURN, "text": " … "}]}, "turns[0].text"),
        ({"turns": [{**TURN, "text": "a\x00b"}]}, "turns[0].text"),
        ({"turns": [{**TURN, "text": "a\ud800b"}]}, "turns[0].text"),
        ({"turns": [{**TURN, "text": "a" * 20_001}]}, "turns[0].text"),
        ({"turns": [TURN], "left_out": {}}, "left_out"),
        ({"turns": [TURN], "left_out": [1]}, "left_out[0]"),
        ({"turns": [TURN], "left_out": [{"block_id": "1", "reason": ""}]}, "left_out[0].block_id"),
        ({"turns": [TURN], "left_out": [{"block_id": 1}]}, "left_out[0].reason"),
    ],
)
def test_script_that_is_wrong_is_refused_with_its_place(data: Any, place: str) -> None:
    with pytest.raises(InvalidScript) as refused:
        Script.from_json(data)
    assert refused.value.place == place
    assert str(refused.value) == f"{place}: {refused.value.problem}"


def test_script_past_the_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_module, "MAX_TURNS", 1)
    with pytest.raises(InvalidScript, match="2 turns; 1 are possible"):
        Script.from_json({"turns": [TURN, TURN]})
    monkeypatch.setattr(script_module, "MAX_CHARS", 5)
    with pytest.raises(InvalidScript, match="6 characters; 5 are possible"):
        Script.from_json({"turns": [TURN]})


def test_script_that_fits_its_outline_passes() -> None:
    check_fits(Script((Turn("guest", 0, "A"), Turn("host", 1, "B"))), OUTLINE, "dialogue")


@pytest.mark.parametrize(
    ("turns", "episode_type", "place"),
    [
        ([Turn("host", 0, "A"), Turn("guest", 0, "B")], "solo", "turns[1].speaker"),
        ([Turn("host", 2, "A")], "solo", "turns[0].chapter"),
        ([Turn("host", 1, "A"), Turn("host", 0, "B")], "dialogue", "turns[1].chapter"),
    ],
)
def test_script_that_does_not_fit_its_outline_is_refused(
    turns: list[Turn], episode_type: str, place: str
) -> None:
    with pytest.raises(InvalidScript) as refused:
        check_fits(Script(tuple(turns)), OUTLINE, episode_type)
    assert refused.value.place == place


def test_join_puts_the_portions_turns_in_their_order() -> None:
    first, second = Turn("host", 0, "A"), Turn("host", 1, "B")
    joined = join([Script((first,)), Script((second,))], (LeftOut(1, "Empty."),))
    assert joined == Script((first, second), (LeftOut(1, "Empty."),))
