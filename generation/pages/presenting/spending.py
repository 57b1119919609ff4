"""What a generation has cost so far, beside what was expected."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from generation.estimate import Estimate
from generation.models import GenerationJob
from generation.providers.contract import Usage
from generation.stages import STAGES


class StageCost(NamedTuple):
    label: str
    tokens: int
    chars: int
    cost: Decimal


class CostsView(NamedTuple):
    """`estimate` None: nothing was expected. `percent` of the estimated cost that is spent;
    None where that was nothing."""

    cost: Decimal
    estimate: Estimate | None
    percent: int | None
    tokens: int
    chars_paid: int
    chars_cached: int
    stages: list[StageCost]

    @property
    def chars(self) -> int:
        return self.chars_paid + self.chars_cached

    @property
    def cached_percent(self) -> int:
        return self.chars_cached * 100 // self.chars if self.chars else 0

    @property
    def estimated_tokens(self) -> int:
        return self.estimate.tokens_in + self.estimate.tokens_out if self.estimate else 0


def costs(generation: GenerationJob) -> CostsView:
    """No query."""
    used = {
        stage: Usage.from_json(generation.usage[stage.name])
        for stage in STAGES
        if stage.name in generation.usage
    }
    expected = Estimate.from_json(generation.estimate) if generation.estimate else None
    return CostsView(
        cost=generation.cost,
        estimate=expected,
        percent=int(generation.cost * 100 / expected.cost) if expected and expected.cost else None,
        tokens=sum(each.tokens_in + each.tokens_out for each in used.values()),
        chars_paid=generation.chars_paid,
        chars_cached=generation.chars_cached,
        stages=[
            StageCost(stage.label, each.tokens_in + each.tokens_out, each.chars, each.cost)
            for stage, each in used.items()
        ],
    )
