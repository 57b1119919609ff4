from __future__ import annotations

import itertools

import pytest

from migrationsync.differences import Kind
from migrationsync.models import SynchronizationJob
from migrationsync.models.differentials import Strategy
from migrationsync.resolving.rules import Action, action_of, allowed, strategy_of

ONE_WAY = SynchronizationJob.Direction.SOURCE_TO_TARGET
BOTH_WAYS = SynchronizationJob.Direction.BIDIRECTIONAL
Resolution = SynchronizationJob.Resolution

# By (kind, is contested): what the job's rule does, one way and both ways, in the order of
# RULES.
BY_RULE = {
    ("missing", False): (["load"] * 3, ["load"] * 3),
    ("quarantined", False): (["load"] * 3, ["load"] * 3),
    ("source_changed", False): (["overwrite"] * 3, ["overwrite"] * 3),
    ("target_changed", False): (["overwrite", "accept", "review"], ["return"] * 3),
    ("both_changed", False): (["overwrite", "accept", "review"], ["overwrite", "return", "review"]),
    ("deleted_in_source", False): (["delete_target"] * 3, ["delete_target"] * 3),
    ("deleted_in_source", True): (
        ["delete_target", "accept", "review"],
        ["delete_target", "return_new", "review"],
    ),
    ("deleted_in_target", False): (["recreate", "accept", "review"], ["delete_source"] * 3),
    ("deleted_in_target", True): (
        ["recreate", "accept", "review"],
        ["recreate", "delete_source", "review"],
    ),
    ("deleted_in_both", False): (["forget"] * 3, ["forget"] * 3),
    ("extra", False): (["review"] * 3, ["return_new"] * 3),
}
# What a person's choice does: source_wins, target_wins one way, target_wins both ways.
CHOSEN = {
    "missing": ("load", "skip", "skip"),
    "quarantined": ("load", "skip", "skip"),
    "source_changed": ("overwrite", "accept", "return"),
    "target_changed": ("overwrite", "accept", "return"),
    "both_changed": ("overwrite", "accept", "return"),
    "deleted_in_source": ("delete_target", "accept", "return_new"),
    "deleted_in_target": ("recreate", "accept", "delete_source"),
    "deleted_in_both": ("forget", "forget", "forget"),
    "extra": ("delete_target", "skip", "return_new"),
}
RULES = (Resolution.SOURCE_WINS, Resolution.TARGET_WINS, Resolution.MANUAL)


def test_table_of_rules_is_whole() -> None:
    assert {Kind(kind) for kind, _ in BY_RULE} == set(Kind) == {Kind(kind) for kind in CHOSEN}


@pytest.mark.parametrize(("kind", "is_contested"), BY_RULE)
@pytest.mark.parametrize("direction", [ONE_WAY, BOTH_WAYS])
def test_rule_decides_conflicts_and_nothing_else(kind, is_contested, direction) -> None:
    one_way, both_ways = BY_RULE[kind, is_contested]
    expected = one_way if direction == ONE_WAY else both_ways
    assert [action_of(Kind(kind), is_contested, direction, rule) for rule in RULES] == expected


@pytest.mark.parametrize("kind", CHOSEN)
@pytest.mark.parametrize("is_contested", [True, False])
def test_person_may_choose_against_the_rule(kind, is_contested) -> None:
    def chosen(direction, strategy):
        return action_of(Kind(kind), is_contested, direction, strategy)

    source_wins, one_way, both_ways = CHOSEN[kind]
    for direction, target_wins in ((ONE_WAY, one_way), (BOTH_WAYS, both_ways)):
        assert chosen(direction, Strategy.SOURCE_WINS) == source_wins
        assert chosen(direction, Strategy.TARGET_WINS) == target_wins
        assert chosen(direction, Strategy.SKIP) is Action.SKIP
        assert chosen(direction, Strategy.MANUAL_REVIEW) is Action.REVIEW


@pytest.mark.parametrize(
    ("kind", "is_contested", "direction", "rule"),
    [(*each, *more) for each, *more in itertools.product(BY_RULE, (ONE_WAY, BOTH_WAYS), RULES)],
)
def test_what_a_rule_decided_is_the_same_as_a_stored_strategy(
    kind, is_contested, direction, rule
) -> None:
    action = action_of(Kind(kind), is_contested, direction, rule)
    assert action_of(Kind(kind), is_contested, direction, strategy_of(action)) is action


def test_choice_of_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="source_wins"):
        action_of(Kind.EXTRA, False, ONE_WAY, "source_wins")


@pytest.mark.parametrize("kind", Kind)
def test_leaving_it_to_somebody_is_no_choice(kind) -> None:
    assert Strategy.MANUAL_REVIEW not in allowed(kind)
    assert Strategy.SKIP in allowed(kind)


@pytest.mark.parametrize("kind", [Kind.MISSING, Kind.QUARANTINED])
def test_target_without_the_row_cannot_win(kind) -> None:
    assert Strategy.TARGET_WINS not in allowed(kind)


@pytest.mark.parametrize("action", Action)
def test_every_action_has_words(action) -> None:
    assert action.label
