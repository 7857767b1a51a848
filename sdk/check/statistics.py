"""The one place where raw samples become statistics: quantiles, their bounds, and whether repeats agree."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

AGREE = 0.05
"""How far apart the p90 of repeats may lie, relative to the smallest, and still be called stable (MLPerf Mobile)."""

CONFIDENCE = 0.95
"""Least probability that the bounds of a quantile hold it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a quantile (None: too few samples for such a bound) and the probability that they hold it."""

    low: float | None
    high: float | None
    coverage: float | None


def quantile(samples: Sequence[float], p: float) -> float:
    """Return the smallest sample that at least the share `p` of the samples does not exceed (nearest rank)."""
    if not samples:
        raise ValueError("no samples")
    return sorted(samples)[max(0, math.ceil(p * len(samples)) - 1)]


def quantile_bounds(samples: Sequence[float], p: float, confidence: float = CONFIDENCE) -> Bounds:
    """Return bounds that hold the `p` quantile with at least `confidence`, whatever the distribution.

    The number of samples below the quantile is binomial(n, p), so the order statistics l and u hold it with
    probability P(l <= B < u) (David and Nagaraja, Order Statistics, 7.1). Each tail gets half of what is left.
    """
    from scipy.special import bdtr

    ordered, n, tail = sorted(samples), len(samples), (1 - confidence) / 2
    below = [0.0, *(float(bdtr(k, n, p)) for k in range(n)), 1.0]  # below[r] = P(B < r)
    lower = bisect_right(below, tail) - 1
    upper = bisect_left(below, 1 - tail)
    low = ordered[lower - 1] if lower >= 1 else None
    high = ordered[upper - 1] if upper <= n else None
    if low is None or high is None:
        return Bounds(low, high, None)
    return Bounds(low, high, below[upper] - below[lower])


def spread(values: Sequence[float]) -> float | None:
    """Return (largest - smallest) / smallest, or None for fewer than two values."""
    if len(values) < 2:
        return None
    least = min(values)
    return (max(values) - least) / least if least > 0 else math.inf


def stable(values: Sequence[float], within: float = AGREE) -> bool | None:
    """Say whether the values of the repeats lie `within` of each other; None for fewer than two."""
    found = spread(values)
    return None if found is None else found <= within


def throttling(samples: Sequence[float]) -> float:
    """Return the p50 of the last tenth of the samples over that of the first tenth; above 1 is slower at the end."""
    part = max(1, len(samples) // 10)
    return quantile(samples[-part:], 0.5) / quantile(samples[:part], 0.5)


def slope(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Return the slope of equally distant values per step, with its bounds (Theil 1950, Sen 1968): medians of pairs."""
    from scipy.stats import theilslopes

    found = theilslopes(values, alpha=confidence)
    return float(found.slope), float(found.low_slope), float(found.high_slope)
