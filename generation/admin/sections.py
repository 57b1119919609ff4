"""The parts of a generation's page that its kind alone has.

What each tells is `generation.pages.presenting`'s, and drawn by the same templates as for the
owner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from generation.admin.starting import start_one_url
from generation.models import GenerationJob
from generation.pages import presenting
from generation.pages.editing import why_not
from generation.permissions import missing_permissions
from operations.admin import Section

Tell = Callable[[HttpRequest, GenerationJob], Any]


def again(request: HttpRequest, generation: GenerationJob) -> Any:
    """None for who may not generate it."""
    if any(missing_permissions(request.user, generation.episode)):
        return None
    return presenting.again(generation, start_url=start_one_url(generation.episode_id))


def script(request: HttpRequest, generation: GenerationJob) -> Any:
    edit_url = ""
    if not why_not(request.user, generation):
        edit_url = reverse("my-generation-script", args=[generation.pk])
    return presenting.script(generation, request.GET, edit_url=edit_url)


# In the order of the page: where it is, what can be heard and done, what it cost, what it said.
SECTIONS: tuple[tuple[str, Tell], ...] = (
    ("stepper", lambda request, generation: presenting.stepper(generation)),
    ("audio", lambda request, generation: presenting.audio(generation, request.GET)),
    ("again", again),
    ("segments", lambda request, generation: presenting.segments(generation)),
    ("costs", lambda request, generation: presenting.costs(generation)),
    ("outline", lambda request, generation: presenting.outline(generation)),
    ("script", script),
)


def sections_of(request: HttpRequest, generation: GenerationJob) -> list[Section]:
    return [
        Section(name, f"generation/{name}.html", content)
        for name, tell in SECTIONS
        if (content := tell(request, generation)) is not None
    ]
