"""Editing a script, a chapter at a time, in plain forms.

Adding, removing and moving a turn are buttons that draw the form anew and save nothing; saving
puts the chapter's turns in the place of those that are there. Owns that round trip, not what a
script may be (`script.script`) nor when it may be edited (`services.edit_script`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from generation.exceptions import CannotEdit, ScriptChanged
from generation.models import GenerationJob
from generation.pages.presenting.paging import Pages, window
from generation.permissions import missing_permissions
from generation.script.script import SPEAKERS_BY_TYPE, InvalidScript
from generation.services import edit_script

TURNS_PER_PAGE = 100
# Three fields each, and a form may have a thousand.
MOST_ROWS = 250
CHARS_PER_LINE = 80

_PLACE = re.compile(r"turns\[(\d+)\]")
_DO = re.compile(r"(add|remove|up|down):(\d{1,3})")


@dataclass
class Row:
    """A turn as it stands in the form, with what is wrong with it."""

    speaker: str
    chapter: int
    text: str
    problem: str = ""
    has_focus: bool = False

    @property
    def lines(self) -> int:
        return min(max(len(self.text) // CHARS_PER_LINE + self.text.count("\n") + 1, 2), 20)

    def as_turn(self) -> dict[str, Any]:
        return {"speaker": self.speaker, "chapter": self.chapter, "text": self.text}


@dataclass
class Portion:
    """The turns `start` to `end` of a script: those of a chapter, or a page of them."""

    turns: list[dict[str, Any]]
    start: int
    end: int
    pages: Pages

    @property
    def rows(self) -> list[Row]:
        return [Row(**turn) for turn in self.turns[self.start : self.end]]

    def replaced_by(self, rows: Sequence[Row]) -> list[tuple[dict[str, Any], Row | None]]:
        """The whole script with the rows in the portion's place, and which turn is which row. A
        row that was given to another chapter goes to that chapter's near end."""
        turns: list[tuple[dict[str, Any], Row | None]] = [
            *((turn, None) for turn in self.turns[: self.start]),
            *((row.as_turn(), row) for row in rows),
            *((turn, None) for turn in self.turns[self.end :]),
        ]
        return sorted(turns, key=lambda each: each[0]["chapter"])


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`?chapter=` counts from 1. POST with `do` adds, removes or moves and saves nothing."""
    generation = get_object_or_404(GenerationJob.viewable_by(request.user), pk=pk)
    if refusal := why_not(request.user, generation):
        messages.error(request, refusal)
        return HttpResponseRedirect(generation.get_absolute_url())
    chapter = min(window(request.GET, "chapter", 1)[0], len(_titles(generation)) - 1)
    portion = _portion(generation, chapter, request)
    if request.method != "POST":
        return _page(request, generation, chapter, portion, portion.rows)
    try:
        rows, version = _sent(request)
    except ValueError:
        return HttpResponseBadRequest("That isn't this page's form.")
    if wanted := _DO.fullmatch(request.POST.get("do", "")):
        _rearrange(rows, wanted.group(1), int(wanted.group(2)), chapter)
        return _page(request, generation, chapter, portion, rows, version=version, is_unsaved=True)
    return _save(request, generation, chapter, portion, rows, version)


def why_not(user: Any, generation: GenerationJob) -> str:
    """Why `user` can't edit the script now; empty: they can."""
    if not generation.may_be_controlled_by(user):
        return f"{generation} is somebody else's: only they can edit its script."
    for missing in missing_permissions(user, generation.episode):
        return missing
    written = GenerationJob.objects.filter(episode=generation.episode_id, script__isnull=False)
    if not written.filter(pk=generation.pk).exists():
        return "There is no script yet: wait until it is written."
    if not generation.is_quiet:
        return "Its script is in use: pause it, then edit."
    if written.filter(pk__gt=generation.pk).exists():
        return "Another script came after this one: edit that."
    return ""


def _portion(generation: GenerationJob, chapter: int, request: HttpRequest) -> Portion:
    script: Any = generation.script  # there is one: see why_not
    turns = script["turns"]
    of_chapter = [index for index, turn in enumerate(turns) if turn["chapter"] == chapter]
    first, number = window(request.GET, "turns", TURNS_PER_PAGE)
    count = max(-(-len(of_chapter) // TURNS_PER_PAGE), 1)
    if number > count:
        first, number = (count - 1) * TURNS_PER_PAGE, count
    shown = of_chapter[first : first + TURNS_PER_PAGE]
    start = (
        shown[0]
        if shown
        # A chapter that nothing is said in: where its turns would be.
        else sum(1 for turn in turns if turn["chapter"] < chapter)
    )
    return Portion(turns, start, start + len(shown), Pages(number, count, "turns"))


def _titles(generation: GenerationJob) -> list[str]:
    """Of the chapters: what has a script has an outline."""
    outline: Any = generation.outline
    return [each["title"] for each in outline["chapters"]]


def _sent(request: HttpRequest) -> tuple[list[Row], int]:
    """The form's rows, and the version of the script that they were made of. Raises ValueError."""
    names = ("speaker", "chapter", "text")
    columns = [request.POST.getlist(name) for name in names]
    rows = [
        Row(speaker, int(chapter), text.replace("\r\n", "\n"))
        for speaker, chapter, text in zip(*columns, strict=True)
    ]
    return rows, int(request.POST.get("version", ""))


def _rearrange(rows: list[Row], what: str, index: int, chapter: int) -> None:
    """`add` puts an empty turn before `index`; the others are about the row `index`."""
    if what == "add" and index <= len(rows) < MOST_ROWS:
        neighbour = rows[index - 1] if index else None
        rows.insert(index, Row(neighbour.speaker if neighbour else "host", chapter, ""))
    elif what == "remove" and index < len(rows):
        del rows[index]
        index = max(index - 1, 0)
    elif what == "up" and 0 < index < len(rows):
        rows[index - 1 : index + 1] = rows[index], rows[index - 1]
        index -= 1
    elif what == "down" and index < len(rows) - 1:
        rows[index : index + 2] = rows[index + 1], rows[index]
        index += 1
    if index < len(rows):
        rows[index].has_focus = True


def _save(
    request: HttpRequest,
    generation: GenerationJob,
    chapter: int,
    portion: Portion,
    rows: list[Row],
    version: int,
) -> HttpResponse:
    whole = portion.replaced_by(rows)
    try:
        # The portion is one of this version's turns.
        if generation.script_version != version:
            raise ScriptChanged(generation.script_version)
        edit_script(
            generation, {"turns": [turn for turn, _ in whole]}, version=version, by=request.user
        )
    except ScriptChanged:
        return _conflict(request, generation.pk, chapter, rows)
    except CannotEdit as refused:
        problem = f"{refused} What you wrote is still here, but not saved."
    except InvalidScript as invalid:
        problem = _point_out(invalid, whole)
    else:
        messages.success(request, "Saved.")
        return HttpResponseRedirect(request.get_full_path())
    return _page(
        request,
        generation,
        chapter,
        portion,
        rows,
        version=version,
        is_unsaved=True,
        problem=problem,
    )


def _point_out(invalid: InvalidScript, whole: Sequence[tuple[dict[str, Any], Row | None]]) -> str:
    """Say it at the row that it is about, where there is one."""
    place = _PLACE.match(invalid.place)
    row = whole[int(place.group(1))][1] if place else None
    if row is None:
        return invalid.problem
    row.problem = invalid.problem
    row.has_focus = True
    return "It isn't saved yet: see what is marked below."


def _conflict(request: HttpRequest, pk: int, chapter: int, rows: list[Row]) -> HttpResponse:
    """Both are shown: what one wrote stays in the form, and what is there now beside it is what
    saving once more would replace."""
    generation = get_object_or_404(GenerationJob.viewable_by(request.user), pk=pk)
    portion = _portion(generation, chapter, request)
    return _page(
        request,
        generation,
        chapter,
        portion,
        rows,
        is_unsaved=True,
        theirs=portion.rows,
        problem="Somebody else edited the script while you did. Nothing is lost: your words are in "
        "the form, theirs are shown first. Put what you want of theirs into yours, then save.",
    )


def _page(
    request: HttpRequest,
    generation: GenerationJob,
    chapter: int,
    portion: Portion,
    rows: list[Row],
    *,
    version: int | None = None,
    is_unsaved: bool = False,
    problem: str = "",
    theirs: list[Row] | None = None,
) -> HttpResponse:
    titles = _titles(generation)
    return TemplateResponse(
        request,
        "generation/edit.html",
        {
            "title": f"Edit the script of “{generation.episode.title}”",
            "section": "audio",
            "generation": generation,
            "version": generation.script_version if version is None else version,
            "titles": titles,
            "chapter": chapter,
            # A turn moves to the chapter beside its own; further, step by step.
            "choices": [
                (index, titles[index])
                for index in (chapter - 1, chapter, chapter + 1)
                if 0 <= index < len(titles)
            ],
            "speakers": SPEAKERS_BY_TYPE[generation.episode.type],
            "rows": rows,
            "theirs": theirs,
            "pages": portion.pages,
            "is_unsaved": is_unsaved,
            "problem": problem,
            "may_add": len(rows) < MOST_ROWS,
            "anew_url": reverse("my-episode-generate", args=[generation.episode_id])
            + "?from=audio",
        },
    )
