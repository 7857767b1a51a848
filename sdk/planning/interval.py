"""How far a mean loss may be off where few samples carry most of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

CONFIDENCE = 0.95
"""Of the interval, of both sides together."""


def interval(losses: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the mean of losses (none negative) of which these are a sample; (mean, infinite) of a single one.

    A standard error misleads where one sample in fifty carries most: the samples that would are seldom among them. The gamma
    interval of Fay and Feuer 1997 (confidence intervals for directly standardized rates) is that of a sum of weighted
    events, of which one more, as heavy as the heaviest, may just have been missed.
    """
    from scipy.special import gammaincinv

    mean, count = fmean(losses), len(losses)
    if count < 2 or not math.isfinite(mean):
        return mean, math.inf
    spread, heaviest, tail = variance(losses, mean) / count, max(losses) / count, (1 - CONFIDENCE) / 2
    if heaviest == 0:
        return 0.0, 0.0
    upper, wider = mean + heaviest, spread + heaviest**2
    low = spread / mean * float(gammaincinv(mean**2 / spread, tail)) if spread > 0 else mean
    return low, wider / upper * float(gammaincinv(upper**2 / wider, 1 - tail))


def carrying(losses: Sequence[float]) -> float:
    """Return how many equal samples would carry as unequal a loss: (sum)² / sum of squares; 0 where nothing is lost."""
    squares = math.fsum(loss * loss for loss in losses)
    return math.fsum(losses) ** 2 / squares if squares > 0 and math.isfinite(squares) else 0.0
