"""What calibration says about a model's weights, as far as rounding uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean of x xᵀ of one layer's input over `rows` input rows: `value` is [groups, k, k], k inputs per output channel."""

    value: Any = field(repr=False)
    rows: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """`importance`: weight name → diagonal Fisher, of the weight's shape; `moments`: layer name → moments of its input.

    A weight without importance is rounded with equal weights, a layer without moments without error feedback.
    """

    importance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    moments: Mapping[str, Moments] = field(default_factory=dict, repr=False)
