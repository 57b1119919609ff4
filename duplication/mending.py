"""Mending a link that leads to nothing, or elsewhere: pointing it to a row that is there."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from content.links import as_id, parse_link, replace_link
from content.models import Episode, Node
from content.permissions import can_change_episode, can_view_episode
from content.tree import episode_of, path_to
from duplication.exceptions import CannotMend
from duplication.levels import TREE
from duplication.models import Duplication, LinkFinding

MODELS: dict[str, type[Node]] = {level.node: level.model for level in TREE if level.parent}  # type: ignore[misc]


def mend_link(*, duplication: Duplication, finding_id: int, target: str, by: Any) -> LinkFinding:
    """Point the link of a finding to `target` (“block/12”) wherever it stands in its field.

    Commits the text and the finding's `mended_at` together; done again with the same target
    it changes nothing more. Raises CannotMend with the way out, and PermissionDenied for who
    may not change the copy.
    """
    copy = duplication.new_episode
    if copy is None or not duplication.has_status("COMPLETED"):
        raise CannotMend("The copy isn't there: only the links of a complete copy can be mended.")
    if not can_change_episode(by, copy):
        raise PermissionDenied(f"Episode {copy.pk} is somebody else's: its owner can mend links.")
    link = parse_link(target)
    found = _row(link.level, as_id(link.key)) if link else None
    if link is None or found is None or not can_view_episode(by, episode_of(found)):
        raise CannotMend(
            f"“{target}” is no row that is there and yours to see: write part/ID, item/ID or "
            "block/ID."
        )
    with transaction.atomic():
        finding = duplication.link_findings.select_for_update().filter(pk=finding_id).first()
        if finding is None:
            raise CannotMend(f"There is no link {finding_id} in the list of this copy.")
        row = (
            MODELS[finding.type]
            ._default_manager.select_for_update()
            .filter(pk=finding.new_id)
            .first()
        )
        text = (getattr(row, finding.field) if row else None) or ""
        mended = replace_link(text, finding.link, link)
        if row is None or (mended == text and finding.mended_at is None):
            raise CannotMend(f"{finding.link} no longer stands in {finding.type} {finding.new_id}.")
        limit = getattr(row._meta.get_field(finding.field), "max_length", None)
        if limit and len(mended) > limit:
            raise CannotMend(f"With {link} the {finding.field} is longer than {limit} characters.")
        setattr(row, finding.field, mended)
        row.save(update_fields=[finding.field, "updated_at"])
        finding.mended_at = timezone.now()
        finding.save(update_fields=["mended_at"])
    return finding


def _row(level: str, id: int | None) -> Node | None:
    model = MODELS[level]
    return model._default_manager.select_related(path_to(model, Episode)).filter(pk=id).first()
