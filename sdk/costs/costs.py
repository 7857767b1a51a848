"""Everything that a plan costs besides bytes and loss, behind one interface: sums for the solver, predictions for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sdk.costs.latency import LatencyModel
from sdk.costs.memory import MemoryModel, Shared

Budget = Literal["max_memory", "max_latency"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted value (bytes or ms) with the bounds that nine in ten measurements of the validation kept, and its origin."""

    value: float
    low: float
    high: float
    origin: str


@dataclass(frozen=True, slots=True)
class Sum:
    """What a budget limits, as a sum over layers: `base` plus `amounts[layer][scheme]`; `moment` says which in words.

    Two layers in `shared` need less together, by the bytes that it says of their schemes.
    """

    budget: Budget
    moment: str
    base: float
    amounts: Mapping[str, Mapping[str, float]] = field(repr=False)
    shared: Shared = field(default_factory=dict, repr=False)


class Costs:
    """The cost models of one model on one target; a budget without a model is not predicted."""

    def __init__(self, memory: MemoryModel | None = None, latency: LatencyModel | None = None) -> None:
        self.memory, self.latency = memory, latency

    def sums(self, choices: Mapping[str, Sequence[str]]) -> tuple[Sum, ...]:
        """Return the sums that the solver keeps within the budgets; `choices`: layer → schemes that it may take.

        A budget's largest sum is its prediction, but for what layers cost together: there it is a lower bound.
        """
        found: list[Sum] = []
        if self.memory is not None:
            found += [Sum("max_memory", *moment, self.memory.shared) for moment in self.memory.moments(choices)]
        if self.latency is not None:
            found.append(Sum("max_latency", self.latency.what, *self.latency.amounts(choices)))
        return tuple(found)

    def predict(self, schemes: Mapping[str, str]) -> dict[Budget, Prediction]:
        """Return the prediction of every budget that has a model, for a plan (layer → scheme)."""
        found: dict[Budget, Prediction] = {}
        if self.memory is not None:
            peak, (low, high) = self.memory.parts(schemes).peak, self.memory.table.error
            found["max_memory"] = Prediction(peak, round(peak * (1 + low)), round(peak * (1 + high)), self.memory.table.origin)
        if self.latency is not None:
            taken, kernels = self.latency.p90(schemes), self.latency.times.kernels
            low, high = (taken * (1 + error) for error in kernels.error)
            found["max_latency"] = Prediction(taken, low, high, kernels.origin)
        return found
