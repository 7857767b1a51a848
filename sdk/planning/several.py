"""The multiple-choice knapsack with several budgets at once: one option per group, least cost (HiGHS)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdk.planning.hush import hushed

_SCALE = 1e3
_NODES = 200_000
_ATTEMPTS = 25
_NOISE = 1e-12


@dataclass(frozen=True, slots=True)
class Weighed:
    """One option: its cost, and its weight in each of the budgets."""

    cost: float
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """The picked option of every group, and the distance to the optimum that could not be excluded (0: proved)."""

    picks: tuple[int, ...]
    gap: float


def pack_several(groups: Sequence[Sequence[Weighed]], budgets: Sequence[float]) -> Packed | None:
    """Return the packing of least cost whose weights are within all `budgets`, or None when there is none.

    No sum of weights, correctly rounded, exceeds its budget. The relaxation bounds the cost from below; a first coarse
    solution bounds it from above, and the options that no better packing can use are left out of the second, which counts
    in units of what lies between.
    """
    kept = [_undominated(group) for group in groups]
    core = _Core([[group[i] for i in left] for group, left in zip(groups, kept, strict=True)], budgets)
    relaxed = core.relaxed()
    if relaxed is None:
        return None
    coarse, _ = core.solve(core.costs, core.span)
    if coarse is None:
        return None
    value, least, reduced = core.cost(coarse), *relaxed
    gap = max(value - least, 0.0)
    picks, unproved = coarse, 0.0
    if gap > _NOISE * max(value, core.span):
        fine, unproved = core.solve(reduced, gap / _SCALE, most=gap)
        picks = fine if fine is not None and core.cost(fine) < value else coarse
    return Packed(tuple(left[pick] for left, pick in zip(kept, picks, strict=True)), unproved)


def _undominated(group: Sequence[Weighed]) -> list[int]:
    """Indices of the options that no other one matches or beats in cost and every weight; of equals the first."""
    found = []
    for index, one in enumerate(group):
        mine = (one.cost, *one.weights)
        beaten = any(
            all(a <= b for a, b in zip((other.cost, *other.weights), mine, strict=True))
            and ((other.cost, *other.weights) != mine or place < index)
            for place, other in enumerate(group) if place != index
        )  # fmt: skip
        if not beaten:
            found.append(index)
    return found


class _Core:
    """The groups as columns; each row of weights is counted from the lightest packing, in units of its budget's room.

    A row whose budget leaves no room at all is counted in millionths of its heaviest option.
    """

    def __init__(self, groups: Sequence[Sequence[Weighed]], budgets: Sequence[float]) -> None:
        import numpy as np

        self.groups, self.budgets = groups, budgets
        self.owner = [number for number, group in enumerate(groups) for _ in group]
        self.index = [index for group in groups for index in range(len(group))]
        least = [min(option.cost for option in group) for group in groups]
        self.base = math.fsum(least)
        self.costs = np.array([o.cost - least[n] for n, group in enumerate(groups) for o in group])
        self.span = max(math.fsum(max(o.cost for o in g) - low for g, low in zip(groups, least, strict=True)), 1e-300)
        self.rows: list[Any] = []
        self.room: list[float] = []
        for axis, budget in enumerate(budgets):
            light = [min(option.weights[axis] for option in group) for group in groups]
            left = math.fsum((budget, *(-each for each in light)))
            row = np.array([o.weights[axis] - light[n] for n, group in enumerate(groups) for o in group])
            unit = max(left, 1e-6 * float(row.max(initial=0.0))) or 1.0
            self.rows.append(row / unit)
            self.room.append(left / unit)
        self.cuts: list[list[int]] = []

    def cost(self, picks: Sequence[int]) -> float:
        """The cost of a packing above that of the cheapest, correctly rounded."""
        chosen = (group[pick].cost for group, pick in zip(self.groups, picks, strict=True))
        return math.fsum((-self.base, *chosen))

    def relaxed(self) -> tuple[float, Any] | None:
        """The least cost with options in parts, and by how much each option raises it; None when nothing fits."""
        import numpy as np
        from scipy.optimize import linprog

        if any(room < 0 for room in self.room):
            return None
        rows, ones = self._matrix()
        with hushed():
            answer = linprog(
                self.costs / self.span, A_ub=rows if self.rows else None, b_ub=self.room if self.rows else None,
                A_eq=ones, b_eq=np.ones(len(self.groups)), bounds=(0, None), method="highs",
            )  # fmt: skip
        if answer.status != 0:
            return None
        prices = -answer.ineqlin.marginals if self.rows else np.zeros(0)
        prices = np.maximum(prices, 0.0) * self.span
        priced = self.costs + sum((p * row for p, row in zip(prices, self.rows, strict=True)), np.zeros(len(self.costs)))
        least = np.full(len(self.groups), np.inf)
        np.minimum.at(least, self.owner, priced)
        bound = math.fsum((*least, *(-p * room for p, room in zip(prices, self.room, strict=True))))
        return bound, priced - least[self.owner]

    def solve(self, costs: Any, unit: float, most: float = math.inf) -> tuple[list[int] | None, float]:
        """Return the best packing counted in `unit`, over options of cost up to `most`, and the gap not excluded."""
        for _ in range(_ATTEMPTS):
            picks, gap = self._once(costs, unit, most)
            if picks is None or self._fits(picks):
                return picks, gap
            self.cuts.append([k for k, (n, i) in enumerate(zip(self.owner, self.index, strict=True)) if picks[n] == i])
        return None, unit * _SCALE

    def _once(self, costs: Any, unit: float, most: float) -> tuple[list[int] | None, float]:
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp

        rows, ones = self._matrix()
        bounds = [LinearConstraint(ones, 1, 1)] + ([LinearConstraint(rows, -np.inf, self.room)] if self.rows else [])
        for cut in self.cuts:
            row = np.zeros(len(costs))
            row[cut] = 1.0
            bounds.append(LinearConstraint(row, 0, len(self.groups) - 1))
        with hushed():
            answer = milp(
                np.minimum(costs, 2 * self.span) / unit, constraints=bounds, integrality=np.ones(len(costs)),
                bounds=Bounds(0, np.where(costs <= most * (1 + 1e-9), 1.0, 0.0)),
                options={"mip_rel_gap": 0.0, "node_limit": _NODES},
            )  # fmt: skip
        if answer.x is None:
            return None, 0.0 if answer.status == 2 else unit * _SCALE
        picks, share = [0] * len(self.groups), [-1.0] * len(self.groups)
        for number, index, part in zip(self.owner, self.index, answer.x, strict=True):
            if part > share[number]:
                picks[number], share[number] = index, part
        return picks, 0.0 if answer.status == 0 else unit * _SCALE

    def _fits(self, picks: Sequence[int]) -> bool:
        chosen = [group[pick] for group, pick in zip(self.groups, picks, strict=True)]
        return all(math.fsum(o.weights[axis] for o in chosen) <= budget for axis, budget in enumerate(self.budgets))

    def _matrix(self) -> tuple[Any, Any]:
        import numpy as np
        from scipy.sparse import csr_array

        ones = csr_array((np.ones(len(self.owner)), (self.owner, range(len(self.owner)))))
        return (np.array(self.rows) if self.rows else None), ones
