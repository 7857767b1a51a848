"""What calibration says about a model's weights, as far as rounding uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean of x xᵀ of one layer's input: `value` is [groups, k, k], k inputs per output channel.

    `noise` (0 to 1) is the share of the correlations between inputs that the calibration samples do not support.
    """

    value: Any = field(repr=False)
    noise: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """`importance`: weight name → diagonal Fisher, of the weight's shape; `moments`: layer name → moments of its input.

    A weight without importance is rounded with equal weights, a layer without moments without error feedback.
    """

    importance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    moments: Mapping[str, Moments] = field(default_factory=dict, repr=False)
