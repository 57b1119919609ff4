"""What a stage of a generation is: a place in the order, a weight, and one method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from content.models import Episode
from generation.models import GenerationJob, StageName
from generation.providers.contract import Usage


@dataclass(frozen=True)
class Made:
    """What one call of `Stage.make` made, not yet written.

    `cursor` is handed to the next call, `finished` says there is none. `done` and `total`
    count in the stage's `unit`. `fields` are the generation's to set, `usage` what was paid;
    `write` writes the rows that go with it, in the step's transaction. `notes` are told to who
    watches, each a line.
    """

    finished: bool
    cursor: Any = None
    done: int = 0
    total: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    chars_cached: int = 0
    notes: tuple[str, ...] = ()
    write: Callable[[], None] | None = None


class Stage(ABC):
    """Instances live for one run of a worker and hold no state that a crash would lose."""

    name: ClassVar[StageName]
    status: ClassVar[Episode.GenerationStatus]
    weight: ClassVar[int]
    unit: ClassVar[str]

    @abstractmethod
    def make(self, generation: GenerationJob, cursor: Any) -> Made:
        """Make a part of the stage's result, outside any transaction, for a second or so where
        that is possible. What was kept already isn't made again, so it may be called again
        after a crash. Raises ProviderBusy (tried again later), WorkWaits, and WorkFailed with
        what to do."""

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """Called at the end of the worker's run: whatever still runs is brought to an end."""
