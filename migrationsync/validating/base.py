"""What every validation is: a walk over an entity in segments, each of which finds some wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from migrationsync.comparing import Cursor
from migrationsync.entities import Entity
from migrationsync.source import Source, Table

# Of the records of a discrepancy, how many are named.
EXAMPLES = 20

Id = int | str


@dataclass(frozen=True)
class Discrepancy:
    """What is wrong, with how many records, and the first of them: legacy ids, or UUIDs of rows
    that have none."""

    what: str
    count: int
    examples: Sequence[Id] = ()


@dataclass(frozen=True)
class Looked:
    """What one segment came to. `figures` are added up over the segments; `cursor` is where the
    next one begins, plain JSON; None: this was the last. `measured` is kept with the report."""

    records: int
    wrong: list[Discrepancy]
    cursor: Cursor | None
    figures: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)


class Validation(ABC):
    """One kind of validation of one entity. An instance lives for one of the kernel's runs and
    holds no state that a crash would lose. Raises SourceUnreachable, SchemaDrift."""

    type: ClassVar[str]

    def __init__(self, entity: Entity, source: Source, table: Table) -> None:
        self.entity = entity
        self.source = source
        self.table = table

    @property
    @abstractmethod
    def criteria(self) -> dict[str, Any]:
        """By what rules it judges, for the report."""

    @abstractmethod
    def read(self, cursor: Cursor | None, size: int) -> Any:
        """What the segment of at most `size` keys a side behind `cursor` needs of the source.
        Writes nothing."""

    @abstractmethod
    def look(self, read: Any) -> Looked:
        """What is wrong with that segment. In the caller's transaction."""

    def close(self) -> None:  # noqa: B027 - few hold anything
        """Lets go of what it holds beside the caller's connections."""
