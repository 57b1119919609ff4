"""What is said, and by whom: turns in the order of the outline's chapters.

Owns what makes a script valid, for those that people edit as for those that models write.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from generation.script.outline import Outline
from generation.script.source import MAX_CHARS, LeftOut

Speaker = Literal["host", "guest"]
SPEAKERS: tuple[str, ...] = get_args(Speaker)
# Who speaks in an episode of a type (`Episode.Type`).
SPEAKERS_BY_TYPE: Mapping[str, tuple[str, ...]] = {"solo": ("host",), "dialogue": SPEAKERS}
MAX_TURN_CHARS = 20_000
MAX_TURNS = 100_000
_LINE_BREAKS = "\n\r\t"


class InvalidScript(ValueError):
    """A script that can't be spoken. `place` is where, like `turns[2].text`."""

    code = "invalid_script"

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


@dataclass(frozen=True)
class Turn:
    """`chapter` is an index into the outline's chapters."""

    speaker: Speaker
    chapter: int
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"speaker": self.speaker, "chapter": self.chapter, "text": self.text}


@dataclass(frozen=True)
class Script:
    turns: tuple[Turn, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def chars(self) -> int:
        return sum(len(turn.text) for turn in self.turns)

    def as_json(self) -> dict[str, Any]:
        return {
            "turns": [turn.as_json() for turn in self.turns],
            "left_out": [each.as_json() for each in self.left_out],
        }

    @classmethod
    def from_json(cls, data: Any) -> Script:
        """The script that `data` is: `{"turns": [{"speaker", "chapter", "text"}], "left_out"}`.

        `left_out` may be missing. Raises InvalidScript for the first thing that is wrong;
        whether it suits its outline is for `check_fits`.
        """
        if not isinstance(data, dict):
            raise InvalidScript("script", 'It must be an object with the list "turns".')
        _refuse_unknown(data, ("turns", "left_out"), "script")
        turns = _list(data, "turns")
        if not turns:
            raise InvalidScript("turns", "The script is empty. Write at least one turn.")
        if len(turns) > MAX_TURNS:
            raise InvalidScript(
                "turns", f"There are {len(turns):,} turns; {MAX_TURNS:,} are possible."
            )
        script = cls(
            turns=tuple(_turn(each, f"turns[{index}]") for index, each in enumerate(turns)),
            left_out=tuple(
                _left_out(each, f"left_out[{index}]")
                for index, each in enumerate(_list(data, "left_out"))
            )
            if "left_out" in data
            else (),
        )
        if script.chars > MAX_CHARS:
            raise InvalidScript(
                "turns",
                f"They have {script.chars:,} characters; {MAX_CHARS:,} are possible. Shorten them.",
            )
        return script


def join(scripts: Iterable[Script], left_out: tuple[LeftOut, ...]) -> Script:
    """One script of the portions' ones, in their order."""
    return Script(tuple(turn for script in scripts for turn in script.turns), left_out)


def check_fits(script: Script, outline: Outline, episode_type: str) -> None:
    """That each turn's chapter and speaker exist, and chapters follow the outline's order.

    Raises InvalidScript.
    """
    speakers = SPEAKERS_BY_TYPE[episode_type]
    before = 0
    for index, turn in enumerate(script.turns):
        if turn.speaker not in speakers:
            raise InvalidScript(
                f"turns[{index}].speaker",
                f"A {episode_type} episode has no {turn.speaker}. Choose {' or '.join(speakers)}, "
                "or change the episode's type.",
            )
        if turn.chapter >= len(outline.chapters):
            raise InvalidScript(
                f"turns[{index}].chapter",
                f"There is no chapter {turn.chapter}: the outline has {len(outline.chapters)}, "
                "counted from 0.",
            )
        if turn.chapter < before:
            raise InvalidScript(
                f"turns[{index}].chapter",
                f"Chapter {turn.chapter} comes after chapter {before}. Put the turns in the "
                "order of their chapters.",
            )
        before = turn.chapter


def _turn(data: Any, place: str) -> Turn:
    if not isinstance(data, dict):
        raise InvalidScript(place, 'It must be an object with "speaker", "chapter" and "text".')
    _refuse_unknown(data, ("speaker", "chapter", "text"), place)
    speaker, chapter, text = (data.get(name) for name in ("speaker", "chapter", "text"))
    if speaker not in SPEAKERS:
        raise InvalidScript(f"{place}.speaker", f"It must be one of: {', '.join(SPEAKERS)}.")
    if not isinstance(chapter, int) or isinstance(chapter, bool) or chapter < 0:
        raise InvalidScript(f"{place}.chapter", "It must be a chapter's number, from 0.")
    if not isinstance(text, str):
        raise InvalidScript(f"{place}.text", "It must be a text.")
    if len(text) > MAX_TURN_CHARS:
        raise InvalidScript(
            f"{place}.text",
            f"It has {len(text):,} characters; {MAX_TURN_CHARS:,} are possible. Make two turns.",
        )
    if not any(map(str.isalnum, text)):
        raise InvalidScript(f"{place}.text", "There is nothing to say. Write words, or remove it.")
    for character in text:
        if character not in _LINE_BREAKS and unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidScript(
                f"{place}.text",
                f"It contains the control character U+{ord(character):04X}. Remove it.",
            )
    return Turn(speaker, chapter, text)


def _left_out(data: Any, place: str) -> LeftOut:
    if not isinstance(data, dict):
        raise InvalidScript(place, 'It must be an object with "block_id" and "reason".')
    block_id, reason = data.get("block_id"), data.get("reason")
    if not isinstance(block_id, int) or isinstance(block_id, bool):
        raise InvalidScript(f"{place}.block_id", "It must be a block's number.")
    if not isinstance(reason, str):
        raise InvalidScript(f"{place}.reason", "It must be a text.")
    return LeftOut(block_id, reason)


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    found = data.get(name)
    if not isinstance(found, list):
        raise InvalidScript(name, "It must be a list.")
    return found


def _refuse_unknown(data: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for name in data:
        if name not in known:
            raise InvalidScript(
                f"{place}.{name}", f"There is no such field. Possible: {', '.join(known)}."
            )
