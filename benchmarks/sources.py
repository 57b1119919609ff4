"""The trees that are copied: which sizes and shapes there are."""

from __future__ import annotations

from dataclasses import dataclass

SHAPES = ("balanced", "skewed")
PARTS = 10
BLOCKS_PER_ITEM = 100
# Sizes are multiples of this, so that every tree has exactly the size it is called by.
SIZE_UNIT = PARTS * BLOCKS_PER_ITEM


@dataclass(frozen=True)
class Source:
    """An episode of `blocks` blocks: ten parts, on average a hundred blocks per item.

    `skewed` has nine blocks in ten under one item.
    """

    shape: str
    blocks: int

    @property
    def items(self) -> int:
        return self.blocks // BLOCKS_PER_ITEM

    @property
    def rows(self) -> int:
        return 1 + PARTS + self.items + self.blocks

    def __str__(self) -> str:
        return f"{self.blocks:,} blocks, {self.shape}"
