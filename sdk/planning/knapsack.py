"""The exact multiple-choice knapsack: one option per group, least value, weights within a budget (HiGHS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdk.planning.hush import hushed
from sdk.planning.relax import Group, Relaxed, relax, room, total

_NOTHING = 1e-14
_SCALE = 1e3
_NODES = 200_000
_ATTEMPTS = 25


@dataclass(frozen=True, slots=True)
class Packing:
    """The picked option of every group, the price of the budget (value per unit of weight) and the proof.

    `gap` is the distance to the optimum that could not be excluded: 0 for a proved optimum.
    """

    picks: tuple[int, ...]
    price: float
    gap: float


def pack(groups: Sequence[Group], budget: float) -> Packing | None:
    """Return the packing of least value whose weight is within `budget`, or None when there is none.

    Groups hold undominated options only: weights rising, values falling. Weights are exact: the sum of
    the picked ones, correctly rounded, never exceeds `budget`. The same groups give the same packing.
    """
    if total(groups, [0] * len(groups), 1) > budget:
        return None
    relaxed = relax(groups, budget)
    free = [number for number, left in enumerate(relaxed.open) if len(left) > 1]
    if relaxed.price == 0.0 or not free or relaxed.gap <= _NOTHING * relaxed.value:
        return Packing(tuple(relaxed.picks), relaxed.price, 0.0)
    picks, gap = _branch(groups, budget, relaxed, free)
    return Packing(tuple(picks), relaxed.price, gap)


def _branch(
    groups: Sequence[Group], budget: float, relaxed: Relaxed, free: Sequence[int]
) -> tuple[list[int], float]:
    """Solve over the open options; cut off what only the solver's tolerance lets through."""
    core = _Core(groups, budget, relaxed, free)
    for attempt in range(_ATTEMPTS):
        picks, gap = core.solve(strict=attempt == _ATTEMPTS - 1)
        if picks is None:
            return relaxed.picks, gap
        if total(groups, picks, 1) <= budget:
            better = total(groups, picks, 0) < relaxed.value
            return (picks if better else relaxed.picks), gap
        core.forbid(picks)
    return relaxed.picks, relaxed.gap


class _Core:
    """The knapsack over the open options, scaled so that 1 is a thousandth of the gap.

    Values and weights are differences from each group's best option at the price, and weights are counted
    in the value that the price gives them: losses of 1e-12 next to 10, or gigabytes next to bytes, stay
    within what the solver resolves.
    """

    def __init__(self, groups: Sequence[Group], budget: float, relaxed: Relaxed, free: Sequence[int]) -> None:
        price = relaxed.price
        self.base = [_cheapest(group, left, price) for group, left in zip(groups, relaxed.open, strict=True)]
        self.unit = relaxed.gap / _SCALE
        self.free = list(free)
        self.columns = [(n, i) for n in free for i in relaxed.open[n]]
        self.value = [(groups[n][i][0] - groups[n][self.base[n]][0]) / self.unit for n, i in self.columns]
        self.weight = [
            (groups[n][i][1] - groups[n][self.base[n]][1]) * price / self.unit for n, i in self.columns
        ]
        self.room = room(groups, self.base, budget) * price / self.unit
        self.cuts: list[list[int]] = []

    def forbid(self, picks: Sequence[int]) -> None:
        """Exclude exactly this packing."""
        self.cuts.append([k for k, (n, i) in enumerate(self.columns) if picks[n] == i])

    def solve(self, *, strict: bool) -> tuple[list[int] | None, float]:
        """Return the best packing within the solver's tolerance and the gap; None when none is better."""
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp

        rows = [self._one_each(), self._within(strict=strict), *self._cut_rows()]
        with hushed():
            answer = milp(
                np.array(self.value),
                constraints=[LinearConstraint(*row) for row in rows],
                integrality=np.ones(len(self.columns)),
                bounds=Bounds(0, 1),
                options={"mip_rel_gap": 0.0, "node_limit": _NODES},
            )
        gap = 0.0 if answer.status in (0, 2) else self.unit * _SCALE
        if answer.x is None:
            return None, gap
        picks, most = list(self.base), dict.fromkeys(self.free, -1.0)
        for (number, index), share in zip(self.columns, answer.x, strict=True):
            if share > most[number]:
                most[number], picks[number] = share, index
        return picks, gap

    def _one_each(self) -> tuple[Any, Any, Any]:
        from scipy.sparse import csr_array

        where = {number: row for row, number in enumerate(self.free)}
        rows = [where[number] for number, _ in self.columns]
        ones = [1.0] * len(rows)
        return csr_array((ones, (rows, range(len(rows))))), 1, 1

    def _within(self, *, strict: bool) -> tuple[Any, Any, Any]:
        """Within the budget; `strict` by the solver's tolerance (a lower bound as well makes it slower)."""
        import numpy as np
        from scipy.sparse import csr_array

        return csr_array([self.weight]), -np.inf, self.room - (2e-6 if strict else 0.0)

    def _cut_rows(self) -> list[tuple[Any, Any, Any]]:
        from scipy.sparse import csr_array

        ones = [([1.0] * len(cut), ([0] * len(cut), cut)) for cut in self.cuts]
        shape = (1, len(self.columns))
        return [(csr_array(one, shape=shape), 0, len(self.free) - 1) for one in ones]


def _cheapest(group: Group, left: Sequence[int], price: float) -> int:
    return min(left, key=lambda index: group[index][0] + price * group[index][1])
