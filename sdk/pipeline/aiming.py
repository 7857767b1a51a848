"""How much loss the sum of the next plan's layers may have, by what finished files lost."""

from __future__ import annotations

import math
from dataclasses import dataclass

CLOSER = 0.9
"""Share of the loss that a file may have, by what the last one lost, which the next plan is made for."""

NEAR = 0.5
"""Share of max_loss that a file has to lose for no smaller one to be sought."""


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
