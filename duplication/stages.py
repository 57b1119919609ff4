"""The stages of a duplication as a person is told of them."""

from __future__ import annotations

from duplication.kind import DRIFT, LINKS, MEDIA, VERDICT, VERIFY
from duplication.levels import TREE
from operations.watching import Rows, Stage

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
