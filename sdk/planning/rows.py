"""Budgets besides size and loss: what a plan needs of them, as sums over its layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Budget = Literal["max_size", "max_loss", "max_memory", "max_latency"]


@dataclass(frozen=True, slots=True)
class Row:
    """One sum that a budget limits: `base` plus an amount per layer and scheme.

    A budget may have several rows, of which the largest counts: the memory while loading, and that of each moment of
    running. `unit` amounts are bytes (max_memory) or ms (max_latency); `moment` says in words which sum it is.
    `shared`: two layers → their schemes → what they need less together than apart.
    """

    budget: Budget
    moment: str
    base: float
    amounts: Mapping[str, Mapping[str, float]] = field(repr=False)
    shared: Mapping[tuple[str, str], Mapping[tuple[str, str], int]] = field(default_factory=dict, repr=False)

    def amount(self, layer: str, scheme: str) -> float:
        """Return what the layer adds in the scheme."""
        return self.amounts.get(layer, {}).get(scheme, 0.0)

    def total(self, schemes: Mapping[str, str]) -> float:
        """Return the sum for a plan (layer → scheme), correctly rounded: a limit of just that much is met."""
        saved = (-found.get((schemes[one], schemes[two]), 0) for (one, two), found in self.shared.items())
        return math.fsum((self.base, *(self.amount(layer, scheme) for layer, scheme in schemes.items()), *saved))


def need(rows: tuple[Row, ...], budget: Budget, schemes: Mapping[str, str]) -> float | None:
    """Return what a plan needs of a budget: the largest of its rows; None where it has none."""
    return max((row.total(schemes) for row in rows if row.budget == budget), default=None)
