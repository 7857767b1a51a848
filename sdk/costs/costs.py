"""Everything that a plan costs besides bytes and loss, behind one interface: sums for the solver, predictions for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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


class Predictions(Mapping[Budget, Prediction]):
    """What is predicted of a plan, by budget, each when first asked for: a search asks for the memory alone of hundreds."""

    def __init__(self, models: Mapping[Budget, Callable[[], Prediction]]) -> None:
        self._models, self._known = models, dict[Budget, Prediction]()

    def __getitem__(self, budget: Budget) -> Prediction:
        if budget not in self._known:
            self._known[budget] = self._models[budget]()
        return self._known[budget]

    def __iter__(self) -> Iterator[Budget]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


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

    def predict(self, schemes: Mapping[str, str]) -> Predictions:
        """Return the prediction of every budget that has a model, for a plan (layer → scheme)."""
        found: dict[Budget, Callable[[], Prediction]] = {}
        if self.memory is not None:
            found["max_memory"] = partial(_memory, self.memory, schemes)
        if self.latency is not None:
            found["max_latency"] = partial(_latency, self.latency, schemes)
        return Predictions(found)


def _memory(model: MemoryModel, schemes: Mapping[str, str]) -> Prediction:
    peak, (low, high) = model.parts(schemes).peak, model.table.error
    return Prediction(peak, round(peak * (1 + low)), round(peak * (1 + high)), model.table.origin)


def _latency(model: LatencyModel, schemes: Mapping[str, str]) -> Prediction:
    taken, kernels = model.p90(schemes), model.times.kernels
    low, high = (taken * (1 + error) for error in kernels.error)
    return Prediction(taken, low, high, kernels.origin)
