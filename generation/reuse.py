"""Outline and script that were written of the same words before, and may be said again.

Owns when words are the same and how an earlier result fits another episode: a copy has its
original's words under other ids, and pays for no second script.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from django.db.models import Q

from generation.models import GenerationJob
from generation.providers.contract import TextProvider
from generation.script.outline import Outline
from generation.script.script import Script
from generation.script.source import Source


class Written(NamedTuple):
    """By which generation; `edited_at`: when people edited the script last, if they did."""

    generation_id: int
    outline: Outline
    script: Script
    edited_at: dt.datetime | None


def source_hash(source: Source, text: TextProvider) -> str:
    """Of what a script is made from and who makes it; neither ids nor the title are in it.
    SHA-256, in hex."""
    digest = hashlib.sha256(json.dumps([source.type, text.name, text.model]).encode())
    part = item = None
    for passage in source.passages:
        is_new = (passage.part_id != part, passage.item_id != item)
        part, item = passage.part_id, passage.item_id
        described = [*is_new, passage.part_title, passage.item_title, passage.text]
        digest.update(json.dumps(described).encode())
    return digest.hexdigest()


def find_written(
    source: Source, digest: str, *, episode_id: int, orig_id: int | None
) -> Written | None:
    """What was written of these words last. What people edited is for their own episode and
    its copies only."""
    found = (
        GenerationJob.objects.filter(source_hash=digest, script__isnull=False)
        .filter(Q(script_edited_at=None) | Q(episode_id__in=[episode_id, orig_id or episode_id]))
        .order_by("-pk")
        .values_list("pk", "outline", "script", "script_edited_at")
        .first()
    )
    if found is None:
        return None
    generation_id, kept_outline, kept_script, edited_at = found
    outline, script = Outline.from_json(kept_outline), Script.from_json(kept_script)
    parts = part_ids(source)
    if len(parts) != len(outline.chapters):
        return None
    chapters = tuple(
        replace(chapter, part_id=part_id)
        for chapter, part_id in zip(outline.chapters, parts, strict=True)
    )
    return Written(
        generation_id,
        Outline(source.title, chapters),
        replace(script, left_out=source.left_out),
        edited_at,
    )


def fits(outline: Outline, source: Source) -> bool:
    """Whether the outline has a chapter for each part that says something, in their order."""
    return [chapter.part_id for chapter in outline.chapters] == part_ids(source)


def part_ids(source: Source) -> list[int]:
    return [part_id for part_id, _ in groupby(source.passages, key=lambda each: each.part_id)]
