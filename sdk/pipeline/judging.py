"""What is predicted of plans, each predicted once, against limits and objectives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sdk.costs import Costs, Prediction
from sdk.planning import Budget, Limits, Solution, objective_named

ALIKE = 1.0025
"""Factor within which memory or latency of two plans are as good: predictions are further off, and the loss decides."""


class Needs(Mapping[Budget, float]):
    """What a plan needs, by budget, as it is predicted."""

    def __init__(self, predicted: Mapping[Any, Prediction]) -> None:
        self._predicted = predicted

    def __getitem__(self, budget: Budget) -> float:
        return self._predicted[budget].value

    def __iter__(self) -> Iterator[Budget]:
        return iter(self._predicted)

    def __len__(self) -> int:
        return len(self._predicted)


class Judge:
    """Predicts plans, each once, and says which keep limits and which is better."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._known: dict[tuple[str, ...], Needs] = {}

    @staticmethod
    def key(solution: Solution) -> tuple[str, ...]:
        """The schemes of a plan's layers, in their order."""
        return tuple(option.scheme for option in solution.chosen.values())

    def predict(self, solution: Solution) -> Needs:
        """Return what a plan needs: bytes of memory, ms of latency."""
        key = self.key(solution)
        if key not in self._known:
            self._known[key] = Needs(self._costs.predict(solution.schemes))
        return self._known[key]

    def keeps(self, solution: Solution, limits: Limits) -> bool:
        """Whether a plan is within all limits, as it is predicted."""
        found = self.predict(solution)
        return within_sums(solution, limits) and all(found[name] <= limit for name, limit in limits.rows.items())

    def value(self, solution: Solution, objective: str) -> tuple[float, float]:
        """What an objective makes least of a plan, in steps of ALIKE, and then of those."""
        minimise = objective_named(objective).minimise
        if minimise == "max_memory" or minimise == "max_latency":
            needed = self.predict(solution)[minimise]
            return math.floor(math.log(needed, ALIKE)) if needed > 0 else -math.inf, solution.loss
        return (solution.loss, solution.bytes) if minimise == "loss" else (solution.bytes, solution.loss)

    @property
    def predictions(self) -> int:
        """How many plans were predicted."""
        return len(self._known)


def within_sums(solution: Solution, limits: Limits) -> bool:
    """Whether a plan keeps the limits on the file and the loss."""
    small = limits.max_size is None or solution.bytes <= limits.max_size
    return small and (limits.max_loss is None or solution.loss <= limits.max_loss)
