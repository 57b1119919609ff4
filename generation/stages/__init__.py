"""The stages of a generation, in their order. Another one is a class here and a name in
`StageName`."""

from __future__ import annotations

from collections.abc import Mapping

from content.models import Episode
from generation.models import StageName
from generation.stages.audio import MakeAudio
from generation.stages.contract import Stage
from generation.stages.outline import WriteOutline
from generation.stages.script import WriteScript
from generation.stages.upload import Upload
from operations import stages

ORDER: tuple[type[Stage], ...] = (WriteOutline, WriteScript, MakeAudio, Upload)
STAGES: tuple[stages.Stage, ...] = tuple(
    stages.Stage(stage.name.value, stage.name.label, unit=stage.unit, weight=stage.weight)
    for stage in ORDER
)
STATUS_OF: Mapping[StageName, Episode.GenerationStatus] = {
    stage.name: stage.status for stage in ORDER
}


def names_from(first: str) -> list[StageName]:
    """The names of a stage and of all behind it; of all, for none."""
    names = [stage.name for stage in ORDER]
    return names[names.index(StageName(first)) :] if first else names
