"""The parts of a duplication's page that its kind alone has: rows, links, media, drift.

One function per part answers what its template finds as `section`, or None where there is
nothing to be said. Each is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Count, Sum
from django.http import HttpRequest
from django.urls import reverse

from duplication.catch_up.kind import may_catch_up, why_not
from duplication.levels import TREE
from duplication.models import DriftFinding, Duplication, LinkFinding, MediaFile
from duplication.stages import STAGES
from operations import watching
from operations.admin import Section

# Of the files that are missing, so many are named.
NAMED = 20
# So many links and changed rows are listed; the API has all.
SHOWN = 50

LEVEL_STAGES = [stage for stage in STAGES if stage.name in {level.stage for level in TREE}]


def rows(request: HttpRequest, duplication: Duplication) -> dict[str, Any] | None:
    """Expected, copied and skipped per level, and what the verification found."""
    found = {level["stage"]: level for level in duplication.report.get("levels", ())}
    return {
        "levels": [
            {"row": row, "found": found.get(row.name)}
            for row in watching.stage_rows(duplication, LEVEL_STAGES)
        ],
        "is_judged": bool(found),
        "is_verified": duplication.report.get("verified"),
    }


def links(request: HttpRequest, duplication: Duplication) -> dict[str, Any] | None:
    """How many there are of each sort, and the first of those that were left as they are."""
    report = duplication.report.get("links")
    if report is None:
        return None
    # Links that a catch-up brought, or that were mended, are in no report.
    unmended = duplication.link_findings.filter(mended_at=None).order_by()
    now = dict(unmended.values_list("points_to").annotate(Count("pk")))
    left = list(duplication.link_findings.order_by("-points_to", "id")[: SHOWN + 1])
    return {
        "rewritten": report["rewritten"],
        **{target: now.get(target, 0) for target in LinkFinding.Target.values},
        "left": [(finding, _node_url(finding.type, finding.new_id)) for finding in left[:SHOWN]],
        "more": len(left) > SHOWN,
        "mendable": duplication.display_status == "completed",
    }


def _node_url(node: str, id: int) -> str:
    return reverse(f"admin:content_{node}_change", args=[id])


def media(request: HttpRequest, duplication: Duplication) -> dict[str, Any] | None:
    if duplication.media_strategy != Duplication.MediaStrategy.COPY:
        return None
    files = MediaFile.objects.filter(duplication=duplication).order_by()
    counts = {
        each["status"]: each
        for each in files.values("status").annotate(files=Count("pk"), bytes=Sum("size"))
    }
    missing = files.filter(status=MediaFile.Status.MISSING).order_by("pk")
    return {
        "counts": [
            {"label": label, "files": counts[value]["files"], "bytes": counts[value]["bytes"]}
            for value, label in MediaFile.Status.choices
            if value in counts
        ],
        "missing": list(missing.values_list("source", flat=True)[:NAMED]),
    }


def drift(request: HttpRequest, duplication: Duplication) -> dict[str, Any] | None:
    findings = DriftFinding.objects.filter(duplication=duplication).order_by()
    counts = {
        (each["change"], each["state"]): each["rows"]
        for each in findings.values("change", "state").annotate(rows=Count("pk"))
    }
    if not counts and not duplication.has_status("COMPLETED"):
        return None
    first = findings.exclude(change=DriftFinding.Change.OMITTED).order_by("-change", "id")
    return {
        "can_catch_up": may_catch_up(request.user, duplication) and not why_not(duplication),
        "rows": list(first[:SHOWN]),
        "more": sum(counts.values()) > SHOWN,
        "counts": [
            {"change": change_label, "state": state_label, "rows": counts[change, state]}
            for change, change_label in DriftFinding.Change.choices
            for state, state_label in DriftFinding.State.choices
            if (change, state) in counts
        ],
    }


SECTIONS: tuple[Callable[[HttpRequest, Duplication], dict[str, Any] | None], ...] = (
    rows,
    links,
    media,
    drift,
)


def sections_of(request: HttpRequest, duplication: Duplication) -> list[Section]:
    found = []
    for section in SECTIONS:
        content = section(request, duplication)
        if content is not None:
            name = section.__name__
            template = f"admin/duplication/duplication/sections/{name}.html"
            found.append(Section(name, template, content))
    return found
