"""The stages of a duplication, in their order."""

from __future__ import annotations

from duplication.levels import TREE
from operations.stages import Rows, Stage

LINKS = "links"
MEDIA = "media"
VERIFY = "verify"
DRIFT = "drift"
VERDICT = "verdict"

# The verification reads every copied row once more; links are a few of them.
STAGES: tuple[Stage, ...] = (
    *(Stage(level.stage, level.stage.capitalize(), Rows.OWN) for level in TREE),
    Stage(LINKS, "Links", Rows.APART),
    Stage(MEDIA, "Media files", Rows.APART),
    Stage(VERIFY, "Verification", Rows.AGAIN),
    Stage(DRIFT, "Drift", Rows.APART),
    Stage(VERDICT, "Verdict", Rows.APART),
)
LABELS = {stage.name: stage.label for stage in STAGES}
