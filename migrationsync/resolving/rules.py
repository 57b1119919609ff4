"""What is done about a record, given how it differs and who wins. A pure table.

Two may say who wins. A *resolution* is the job's rule: it decides conflicts and nothing else. What
only one side did is no conflict where that side may speak: the source always may, the target only
where the job goes both ways. A *strategy* is what a person chose for the record, who may also
choose against that.
"""

from __future__ import annotations

import enum

from migrationsync.differences import Kind
from migrationsync.models import SynchronizationJob
from migrationsync.models.differentials import Strategy

Direction = SynchronizationJob.Direction
Resolution = SynchronizationJob.Resolution


class Action(enum.StrEnum):
    """What is done, and on which side."""

    LOAD = "load"  # a row that the target never had
    OVERWRITE = "overwrite"  # the target's row with the source's
    RECREATE = "recreate"  # the row that went from the target
    DELETE_TARGET = "delete_target"
    RETURN = "return"  # the source's row with what the target has
    RETURN_NEW = "return_new"  # a row that the source hasn't, or no longer
    DELETE_SOURCE = "delete_source"
    ACCEPT = "accept"  # they differ, and that is fine from now on
    FORGET = "forget"  # both are gone: so goes the mapping
    REVIEW = "review"  # a person has to decide
    SKIP = "skip"  # nothing, this time

    @property
    def label(self) -> str:
        """In words, as they complete “what is done: …”."""
        return _LABELS[self]

    @property
    def is_delete(self) -> bool:
        """Whether a row goes: counted against the job's budget."""
        return self in (Action.DELETE_TARGET, Action.DELETE_SOURCE)

    @property
    def writes_source(self) -> bool:
        return self in (Action.RETURN, Action.RETURN_NEW, Action.DELETE_SOURCE)

    @property
    def loads(self) -> bool:
        """Whether the target gets what the source has."""
        return self in (Action.LOAD, Action.OVERWRITE, Action.RECREATE)


_LABELS = {
    Action.LOAD: "bring over",
    Action.OVERWRITE: "overwrite the target",
    Action.RECREATE: "bring back to the target",
    Action.DELETE_TARGET: "delete from the target",
    Action.RETURN: "write back to the source",
    Action.RETURN_NEW: "add to the source",
    Action.DELETE_SOURCE: "delete from the source",
    Action.ACCEPT: "accept the difference",
    Action.FORGET: "forget the mapping",
    Action.REVIEW: "leave to a person",
    Action.SKIP: "leave as it is",
}

# By the kind: what is done where the source wins, and where the target does (one way, both ways).
_WINS: dict[Kind, tuple[Action, Action, Action]] = {
    Kind.MISSING: (Action.LOAD, Action.SKIP, Action.SKIP),
    Kind.QUARANTINED: (Action.LOAD, Action.SKIP, Action.SKIP),
    Kind.SOURCE_CHANGED: (Action.OVERWRITE, Action.ACCEPT, Action.RETURN),
    Kind.TARGET_CHANGED: (Action.OVERWRITE, Action.ACCEPT, Action.RETURN),
    Kind.BOTH_CHANGED: (Action.OVERWRITE, Action.ACCEPT, Action.RETURN),
    Kind.DELETED_IN_SOURCE: (Action.DELETE_TARGET, Action.ACCEPT, Action.RETURN_NEW),
    Kind.DELETED_IN_TARGET: (Action.RECREATE, Action.ACCEPT, Action.DELETE_SOURCE),
    Kind.DELETED_IN_BOTH: (Action.FORGET, Action.FORGET, Action.FORGET),
    Kind.EXTRA: (Action.DELETE_TARGET, Action.SKIP, Action.RETURN_NEW),
}

# What only the source did. The other uncontested ones are the target's doing.
_BY_SOURCE = (Kind.MISSING, Kind.QUARANTINED, Kind.SOURCE_CHANGED, Kind.DELETED_IN_SOURCE)


def action_of(
    kind: Kind, is_contested: bool, direction: str, choice: Strategy | SynchronizationJob.Resolution
) -> Action:
    """What is to be done. `choice` is a job's Resolution or a person's Strategy: which of the two
    is told by its type, so plain text has to be made one first. Raises TypeError."""
    both_ways = direction == Direction.BIDIRECTIONAL
    if isinstance(choice, Strategy):
        return _chosen(kind, both_ways, choice)
    if not isinstance(choice, Resolution):
        raise TypeError(f"{choice!r} is neither a person's Strategy nor a job's Resolution")
    if kind is Kind.DELETED_IN_BOTH:
        return Action.FORGET
    is_conflict = is_contested or kind is Kind.BOTH_CHANGED
    if kind in _BY_SOURCE and not is_conflict:
        return _chosen(kind, both_ways, Strategy.SOURCE_WINS)
    if both_ways and not is_conflict:
        return _chosen(kind, both_ways, Strategy.TARGET_WINS)
    if kind is Kind.EXTRA or choice is Resolution.MANUAL:
        # A row that was never migrated is no rule's to delete.
        return Action.REVIEW
    return _chosen(kind, both_ways, Strategy(choice.value))


def _chosen(kind: Kind, both_ways: bool, strategy: Strategy) -> Action:
    if strategy is Strategy.SKIP:
        return Action.SKIP
    if strategy is Strategy.MANUAL_REVIEW:
        return Action.REVIEW
    source_wins, one_way, returned = _WINS[kind]
    if strategy is Strategy.SOURCE_WINS:
        return source_wins
    return returned if both_ways else one_way


def allowed(kind: Kind) -> tuple[Strategy, ...]:
    """What a person may choose for a record of this kind. To leave it for later is no choice.

    A row that the target never had can't win there.
    """
    if kind in (Kind.MISSING, Kind.QUARANTINED):
        return (Strategy.SOURCE_WINS, Strategy.SKIP)
    return (Strategy.SOURCE_WINS, Strategy.TARGET_WINS, Strategy.SKIP)


def strategy_of(action: Action) -> Strategy:
    """Who wins by `action`: the strategy by which a person would have had it."""
    match action:
        case Action.REVIEW:
            return Strategy.MANUAL_REVIEW
        case Action.SKIP:
            return Strategy.SKIP
        case Action.ACCEPT | Action.RETURN | Action.RETURN_NEW | Action.DELETE_SOURCE:
            return Strategy.TARGET_WINS
        case _:
            return Strategy.SOURCE_WINS
