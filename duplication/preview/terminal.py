"""A preview in a terminal: one table."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.table import Table

from content.models import Episode
from duplication.preview import wording
from duplication.preview.found import Preview


def show_preview(stream: TextIO, episode: Episode, found: Preview) -> None:
    console = Console(file=stream, highlight=False, markup=False)
    console.print(f"Episode {episode.pk}: {episode.title}", soft_wrap=True)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for level in found.levels:
        table.add_row(level.stage.capitalize(), str(level.rows))
    table.add_row("Expected time", found.expected.text)
    table.add_row("Media files", "\n".join(wording.media(found.media)))
    table.add_row("Links", "\n".join(wording.links(found.links)))
    for link in found.links.examples:
        table.add_row("", f"  {wording.leaving_link(link)}")
    table.add_row("Reset on the copy", "\n".join(wording.resets(found.resets)))
    if found.active:
        table.add_row("Already being copied", wording.active(found.active))
    if found.waiting:
        table.add_row("Would wait now", found.waiting.reason)
    console.print(table)
