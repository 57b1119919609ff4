"""Mending a link that leads to nothing, or elsewhere: pointing it to a row that is there."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from content.exceptions import EpisodeClosed
from content.links import Link, as_id, holds_link, parse_link, replace_link
from content.models import Episode, Node
from content.permissions import can_change_episode, can_view_episode
from content.tree import episode_of, path_to
from content.writing import lock_for_writing
from duplication import own_edits
from duplication.exceptions import CannotMend
from duplication.levels import CHILD_LEVELS, Level
from duplication.models import Duplication, LinkFinding

LEVELS: dict[str, tuple[Level, Level]] = {
    level.node: (above, level) for above, level in CHILD_LEVELS
}
MODELS: dict[str, type[Node]] = {node: level.model for node, (_, level) in LEVELS.items()}  # type: ignore[misc]


def mend_link(*, duplication: Duplication, finding_id: int, target: str, by: Any) -> LinkFinding:
    """Point the link of a finding to `target` (“block/12”) wherever it stands in its field; one
    that was mended before is pointed on from where it leads now.

    Commits the text, the finding and that it was our own hand together; done again with the
    same target it changes nothing. Raises CannotMend with the way out, and PermissionDenied
    for who may not change the copy.
    """
    _check_may_mend(duplication, by)
    link = _target(target, by)
    with transaction.atomic():
        # The row comes first, as where a catch-up lists its links anew.
        row = _lock_row(duplication, _finding(duplication, finding_id))
        finding = _finding(duplication, finding_id, lock=True)
        text, written = getattr(row, finding.field, None) or "", _written(finding)
        if row is None or not holds_link(text, written):
            raise CannotMend(f"{written} no longer stands in {finding.type} {finding.new_id}.")
        if link != written:
            _point(duplication, finding, row, text, link)
    return finding


def _check_may_mend(duplication: Duplication, by: Any) -> None:
    copy = duplication.new_episode
    if copy is None or not duplication.has_status("COMPLETED"):
        raise CannotMend("The copy isn't there: only the links of a complete copy can be mended.")
    # Asked first: a hidden copy nobody may change, its owner neither.
    if copy.status in Episode.HIDDEN:
        raise CannotMend("The copy is being removed: its links can't be mended.")
    if not can_change_episode(by, copy):
        raise PermissionDenied(f"Episode {copy.pk} is somebody else's: its owner can mend links.")


def _target(text: str, by: Any) -> Link:
    link = parse_link(text)
    found = _row(link.level, as_id(link.key)) if link else None
    if link is None or found is None or not can_view_episode(by, episode_of(found)):
        raise CannotMend(
            f"“{text}” is no row that is there and yours to see: write part/ID, item/ID or "
            "block/ID."
        )
    return link


def _row(level: str, id: int | None) -> Node | None:
    model = MODELS[level]
    return model._default_manager.select_related(path_to(model, Episode)).filter(pk=id).first()


def _finding(duplication: Duplication, id: int, *, lock: bool = False) -> LinkFinding:
    findings = duplication.link_findings.filter(pk=id)
    finding = (findings.select_for_update() if lock else findings).first()
    if finding is None:
        raise CannotMend(f"There is no link {id} in the list of this copy.")
    return finding


def _lock_row(duplication: Duplication, finding: LinkFinding) -> Node | None:
    """The row that holds the link, held with the copy it is in; None if it isn't there."""
    model = MODELS[finding.type]
    try:
        episode_id = lock_for_writing(model, finding.new_id)
    except EpisodeClosed as error:
        raise CannotMend(f"{error} Its links can't be mended.") from error
    if episode_id != duplication.new_episode_id:
        return None
    return model._default_manager.select_for_update().filter(pk=finding.new_id).first()


def _written(finding: LinkFinding) -> Link:
    """The link as it stands in the text now."""
    return parse_link(finding.mended_to) or finding.link


def _point(
    duplication: Duplication, finding: LinkFinding, row: Node, text: str, link: Link
) -> None:
    mended = replace_link(text, _written(finding), link)
    limit = getattr(row._meta.get_field(finding.field), "max_length", None)
    if limit and len(mended) > limit:
        raise CannotMend(f"With {link} the {finding.field} is longer than {limit} characters.")
    above, level = LEVELS[finding.type]
    # Else it holds somebody's edit, which an undo must find.
    is_ours = own_edits.is_untouched(duplication, above, level, row.pk)
    setattr(row, finding.field, mended)
    row.save(update_fields=[finding.field, "updated_at"])
    if is_ours:
        own_edits.keep(duplication, level, row.pk)
    finding.mended_at, finding.mended_to = timezone.now(), str(link)
    finding.save(update_fields=["mended_at", "mended_to"])
