"""Differences, decisions and values as they are shown to people who decide."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from migrationsync.admin.findings import joined, look_up_url
from migrationsync.comparing import Explanation
from migrationsync.differences import Kind
from migrationsync.entities import Entity
from migrationsync.models.differentials import Strategy
from migrationsync.resolving.rules import Action

# What is shown of a long value, and how much of that stands before the first difference.
SHOWN_CHARACTERS = 1_200
BEFORE_DIFFERENCE = 200

# What a decision can be, in the order of its keys.
DECISIONS: Mapping[Strategy, str] = {
    Strategy.SOURCE_WINS: "1",
    Strategy.TARGET_WINS: "2",
    Strategy.SKIP: "3",
}

KINDS: Mapping[str, str] = {
    Kind.MISSING: "The source has it, and it was never migrated.",
    Kind.QUARANTINED: "The source has it, and it couldn't be migrated.",
    Kind.SOURCE_CHANGED: "The source changed since the two were last made alike.",
    Kind.TARGET_CHANGED: "The target changed since the two were last made alike.",
    Kind.BOTH_CHANGED: "Both changed since they were last made alike.",
    Kind.DELETED_IN_SOURCE: "It was deleted in the source.",
    Kind.DELETED_IN_TARGET: "It was deleted in the target.",
    Kind.DELETED_IN_BOTH: "It was deleted in both.",
    Kind.EXTRA: "Only the target has it: it is from no legacy row.",
}

# What a decision does, to who is about to make it.
ACTIONS: Mapping[Action, str] = {
    Action.LOAD: "Brings the legacy row over into the target.",
    Action.OVERWRITE: "Overwrites the target's row with the legacy one.",
    Action.RECREATE: "Makes the target's row anew from the legacy one.",
    Action.DELETE_TARGET: "Deletes the target's row.",
    Action.RETURN: "Writes the target's values back into the legacy row.",
    Action.RETURN_NEW: "Adds the target's row to the legacy table.",
    Action.DELETE_SOURCE: "Deletes the legacy row.",
    Action.ACCEPT: "Keeps both as they are; the difference isn't reported again.",
    Action.FORGET: "Forgets that the two belonged together: neither is there any more.",
    Action.REVIEW: "Leaves it for a person to decide.",
    Action.SKIP: "Changes nothing; the next comparison reports it again.",
}
NOTHING_TO_WIN = "The target never had such a row, so there is nothing there that could win."


class Shown(NamedTuple):
    """A value as it is drawn. `is_word`: a word of ours, and none of the value's."""

    text: str
    is_word: bool = False
    url: str = ""


class FieldRow(NamedTuple):
    """A field in three columns, and which sides changed it since the last sync."""

    name: str
    source_column: str
    legacy: Shown
    last_synced: Shown
    current: Shown
    differs: bool
    source_changed: bool
    target_changed: bool


class Change(NamedTuple):
    """A field before and after."""

    name: str
    before: Shown
    after: Shown
    differs: bool


def compared_by(criteria: Mapping[str, Any]) -> str:
    """How a comparison was made, in words."""
    sides = criteria.get("sides") or []
    if criteria.get("compared_by") == "timestamp":
        return f"by time: rows whose {criteria.get('column', 'time')} is since " + str(
            criteria.get("since", "the last sync")
        )
    if sides == ["source"]:
        return "by checksum of the source's rows against those of the last sync"
    return "by checksum of both sides' rows against those of the last sync"


def field_rows(entity: Entity, found: Explanation) -> list[FieldRow]:
    """In the declaration's order, those that differ first. None where no side can be shown so."""
    legacy = found.legacy if is_converted(entity, found) else None
    if legacy is None and found.last_synced is None and found.current is None:
        return []
    rows = [_field_row(entity, name, legacy, found) for name in entity.columns]
    return sorted(rows, key=lambda row: not row.differs)


def is_converted(entity: Entity, found: Explanation) -> bool:
    """Whether its legacy row is by the target's fields; where it can't be, it is by the source's
    columns."""
    return found.legacy is not None and set(found.legacy) <= set(entity.columns)


def who_changed(found: Explanation) -> str:
    """“The source changed name; the target changed phone.” Empty where nothing differs."""
    if not found.differing:
        return ""
    if found.last_synced is None:
        return (
            f"They differ in {joined(found.differing)}. What was last synced wasn't kept, so who "
            "changed it can't be told."
        )
    by: dict[str, list[str]] = {}
    for name in found.differing:
        who = _WHO[changed(found.legacy, found, name), changed(found.current, found, name)]
        by.setdefault(who, []).append(name)
    text = "; ".join(f"{who} changed {joined(names)}" for who, names in by.items() if who)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def changed(side: Mapping[str, Any] | None, found: Explanation, name: str) -> bool:
    """Whether this side has another value than the one that was last synced."""
    last = found.last_synced
    if side is None or last is None or name not in side or name not in last:
        return False
    return bool(side[name] != last[name])


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Change]:
    """Two states of a row, those fields first that differ."""
    names = dict.fromkeys([*(before or {}), *(after or {})])
    rows = []
    for name in names:
        one, other = (before or {}).get(name), (after or {}).get(name)
        start = _first_difference([_text(one), _text(other)])
        rows.append(
            Change(
                name,
                _shown(one, start) if before is not None else NO_ROW,
                _shown(other, start) if after is not None else NO_ROW,
                before is None or after is None or one != other,
            )
        )
    return sorted(rows, key=lambda row: not row.differs)


def raw_rows(row: Mapping[str, Any]) -> list[tuple[str, Shown]]:
    return [(name, _shown(value, 0)) for name, value in row.items()]


def moves(action: Action, fields: Mapping[str, tuple[Any, Any]]) -> list[Change]:
    """Of a dry run: each field from and to."""
    found = []
    for name, (one, other) in fields.items():
        start = _first_difference([_text(one), _text(other)])
        before = NO_ROW if action in _MAKES_ROWS else _shown(one, start)
        after = NO_ROW if action.is_delete else _shown(other, start)
        found.append(Change(name, before, after, differs=True))
    return found


NO_ROW = Shown("no row", is_word=True)
_MAKES_ROWS = (Action.LOAD, Action.RECREATE, Action.RETURN_NEW)
# (the source changed it, the target did)
_WHO = {
    (True, False): "the source",
    (False, True): "the target",
    (True, True): "both",
    (False, False): "",
}


def _field_row(
    entity: Entity, name: str, legacy: Mapping[str, Any] | None, found: Explanation
) -> FieldRow:
    column = entity.columns[name]
    sides = (legacy, found.last_synced, found.current)
    texts = [_text(side[name]) for side in sides if side is not None and name in side]
    start = _first_difference(texts)
    is_link = name in entity.foreign_keys
    row, before, current = (
        NO_ROW if side is None else _shown(side.get(name), start, is_link=is_link) for side in sides
    )
    if legacy is None and found.legacy is not None:
        row = Shown("not convertible", is_word=True)
    if found.last_synced is None:
        before = Shown(
            "not kept" if found.uuid and found.legacy_id is not None else "never", is_word=True
        )
    return FieldRow(
        name,
        column.source or name,
        row,
        before,
        current,
        differs=name in found.differing,
        source_changed=changed(legacy, found, name),
        target_changed=changed(found.current, found, name),
    )


def _shown(value: Any, start: int, *, is_link: bool = False) -> Shown:
    """`start`: where its text begins to differ from the others'."""
    if value is None:
        return Shown("nothing", is_word=True)
    if value == "":
        return Shown("empty", is_word=True)
    if isinstance(value, bool):
        return Shown("yes" if value else "no")
    if is_link or isinstance(value, UUID):
        return Shown(str(value), url=look_up_url(value))
    return Shown(_excerpt(_text(value), start))


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes | memoryview):
        return f"{len(bytes(value)):,} bytes: {bytes(value)[:64].hex(' ')}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1)
    return "" if value is None else str(value)


def _excerpt(text: str, start: int) -> str:
    if len(text) <= SHOWN_CHARACTERS:
        return text
    begin = max(0, min(start - BEFORE_DIFFERENCE, len(text) - SHOWN_CHARACTERS))
    cut = text[begin : begin + SHOWN_CHARACTERS]
    before = "… " if begin else ""
    after = " …" if begin + SHOWN_CHARACTERS < len(text) else ""
    return f"{before}{cut}{after} ({len(text):,} characters)"


def _first_difference(texts: Iterable[str]) -> int:
    """Where the texts, of which only the long ones matter, are no longer alike."""
    found = list(texts)
    if all(len(each) <= SHOWN_CHARACTERS for each in found):
        return 0
    at = 0
    for letters in zip(*found, strict=False):
        if len(set(letters)) > 1:
            return at
        at += 1
    return at
