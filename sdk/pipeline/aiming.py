"""How much loss the sum of the next plan's layers may have, by what finished files lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

CLOSER = 0.9
"""Share of the loss that a file may have, by what the last one lost, which the next plan is made for."""

NEAR = 0.5
"""Share of max_loss that a file has to lose for no smaller one to be sought."""


@dataclass(slots=True)
class Kept(Generic[T]):
    """Of the files of an attempt the smallest that keeps the limit, and the one that loses least."""

    smallest: tuple[int, T] | None = None
    closest: tuple[float, T] | None = None

    def add(self, file: T, size: int, loss: float, limit: float) -> None:
        """Take in a file of `size` bytes that loses `loss`."""
        if self.closest is None or loss < self.closest[0]:
            self.closest = loss, file
        if loss <= limit and (self.smallest is None or size < self.smallest[0]):
            self.smallest = size, file

    def best(self, strict: bool) -> T | None:
        """Return the file to ship; `strict`: none where none keeps the limit."""
        if self.smallest is not None:
            return self.smallest[1]
        return self.closest[1] if self.closest is not None and not strict else None


@dataclass(slots=True)
class Aim:
    """Shares of `limit` (max_loss) to plan for: `share` the next one, `low` the largest whose file kept it, `high` the smallest
    whose file did not."""

    limit: float
    share: float
    low: float | None = None
    high: float | None = None

    def lost(self, loss: float, alone: float) -> bool:
        """Take in what a file lost whose layers lose `alone` one by one; return whether another plan may be better.

        After a file that loses too much the next plan is made for less, as if its sum grew as this one did; after one far below
        the limit, where another one did not keep it, for as much between the two.
        """
        if loss > self.limit:
            self.high = self.share
            closer = CLOSER * min(self.share, alone / loss)
            self.share = closer if self.low is None else math.sqrt(self.low * self.high)
            return True
        self.low = self.share
        if self.high is None or loss > NEAR * self.limit:
            return False
        self.share = math.sqrt(self.low * self.high)
        return True
