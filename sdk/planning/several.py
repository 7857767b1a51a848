"""The multiple-choice knapsack with several budgets at once: one option per group, least cost (HiGHS)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdk.planning.exchange import Exchange
from sdk.planning.hush import hushed

_SCALE = 1e3
_NODES = 200_000
_COARSE = 10
"""Times what lies between the bounds that the units of a first solution may be made for."""
_ATTEMPTS = 25
_NOISE = 1e-12
_CORE = 24
"""Options beyond one a group that the first solution may use: those that raise the relaxation's cost least."""
_NEAR = 0.02
"""Share of what lies between its bounds by which a solution may be off that is only near the optimum."""


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


def pack_several(groups: Sequence[Sequence[Weighed]], budgets: Sequence[float], near: bool = False) -> Packed | None:
    """Return the packing of least cost whose weights are within all `budgets`, or None when there is none.

    One that is `near` it is the first over a core of options, or found without branching (see `Exchange`), which may miss what is
    hardly within the budgets; its gap is what it is above the bound.

    No sum of weights, correctly rounded, exceeds its budget. The relaxation bounds the cost from below, and says by how much
    each option raises that bound. A first solution over the options that raise it least (or over all, where these hold none)
    bounds the cost from above; no better packing uses an option that raises the bound above it (Balas and Zemel, 1980). Unless
    those were all there already, a second solution is over these, in units of what lies between the bounds. What the solver takes
    for equal, a billionth of that, is told apart last, group by group.
    """
    groups, budgets = _binding(groups, budgets)
    kept = _undominated(groups)
    core = _Core([[group[i] for i in left] for group, left in zip(groups, kept, strict=True)], budgets)
    relaxed = core.relaxed()
    if relaxed is None:
        return None
    reach = relaxed.reach(len(groups) + _CORE)
    if near:
        picks = core.near(relaxed, reach)
        return None if picks is None else Packed(_whole(picks, kept), max(core.cost(picks) - relaxed.bound, 0.0))
    picks, unproved = core.solve(relaxed, reach) if reach else (None, 0.0)
    if picks is None:
        picks, unproved = core.solve(relaxed, math.inf)
    if picks is None:
        return None
    value = core.cost(picks)
    gap = max(value - relaxed.bound, 0.0)
    if gap > _NOISE * max(value, core.span) and (unproved or not reach / _COARSE <= gap <= reach):
        fine, unproved = core.solve(relaxed, gap)
        picks = fine if fine is not None and core.cost(fine) < value else picks
    core.polish(picks)
    return Packed(_whole(picks, kept), unproved)


def _whole(picks: Sequence[int], kept: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The picks among all options, of those among the `kept` ones."""
    return tuple(left[pick] for left, pick in zip(kept, picks, strict=True))


def _binding(
    groups: Sequence[Sequence[Weighed]], budgets: Sequence[float]
) -> tuple[list[list[Weighed]], list[float]]:
    """The same problem without the budgets that every packing keeps, or every one that keeps another budget."""
    import numpy as np

    rows: Any = np.array([option.weights for group in groups for option in group]).T if budgets else []
    heaviest = [math.fsum(max(option.weights[axis] for option in group) for group in groups) for axis in range(len(budgets))]
    left = [axis for axis, budget in enumerate(budgets) if heaviest[axis] > budget]
    for axis in list(left):
        if any(budgets[other] <= budgets[axis] and (rows[axis] <= rows[other]).all() for other in left if other != axis):
            left.remove(axis)
    kept = [[Weighed(each.cost, tuple(each.weights[axis] for axis in left)) for each in group] for group in groups]
    return kept, [budgets[axis] for axis in left]


def _undominated(groups: Sequence[Sequence[Weighed]]) -> list[list[int]]:
    """Indices of each group's options that no other one matches or beats in cost and every weight; of equals the first."""
    import numpy as np

    longest = max(map(len, groups), default=0)
    axes = 1 + len(groups[0][0].weights) if groups else 0
    table = np.full((axes, len(groups), longest), np.inf)
    for number, group in enumerate(groups):
        table[:, number, : len(group)] = np.array([(option.cost, *option.weights) for option in group]).T
    no_more = np.ones((len(groups), longest, longest), dtype=bool)  # of option [group, one] than of [group, other]
    for axis in table:
        no_more &= axis[:, :, None] <= axis[:, None, :]
    earlier = np.arange(longest)[:, None] < np.arange(longest)
    beaten: Any = (no_more & (~no_more.swapaxes(1, 2) | earlier)).any(axis=1)
    return [[index for index in range(len(group)) if not beaten[number, index]] for number, group in enumerate(groups)]


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """The least cost with options in parts, the price of each row's unit, and by how much each option raises that cost."""

    bound: float
    prices: Any
    raises: Any

    def reach(self, count: int) -> float:
        """By how much the `count` options that raise it least do so at most."""
        import numpy as np

        place = min(len(self.raises), count) - 1
        return float(np.partition(self.raises, place)[place]) if place >= 0 else 0.0


class _Core:
    """The groups as columns; each row of weights is counted from the lightest packing, in units of its budget's room.

    A row whose budget leaves no room at all is counted in millionths of its heaviest option.
    """

    def __init__(self, groups: Sequence[Sequence[Weighed]], budgets: Sequence[float]) -> None:
        import numpy as np
        from scipy.sparse import csc_array

        self.groups, self.budgets = groups, budgets
        self.owner = np.array([number for number, group in enumerate(groups) for _ in group], dtype=int)
        self.one_each = csc_array((np.ones(len(self.owner)), (self.owner, np.arange(len(self.owner)))))
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
            if math.fsum(light) <= budget:  # of equal rounded numbers, the difference of exact ones may be below zero
                left = max(left, 0.0)
            row = np.array([o.weights[axis] - light[n] for n, group in enumerate(groups) for o in group])
            unit = max(left, 1e-6 * float(row.max(initial=0.0))) or 1.0
            self.rows.append(row / unit)
            self.room.append(left / unit)
        self.cuts: list[list[int]] = []

    def cost(self, picks: Sequence[int]) -> float:
        """The cost of a packing above that of the cheapest, correctly rounded."""
        chosen = (group[pick].cost for group, pick in zip(self.groups, picks, strict=True))
        return math.fsum((-self.base, *chosen))

    def relaxed(self) -> _Relaxed | None:
        """The relaxation; None when nothing fits."""
        import numpy as np
        from scipy.optimize import linprog

        if any(room < 0 for room in self.room):
            return None
        with hushed():
            answer = linprog(
                self.costs / self.span, A_ub=np.array(self.rows) if self.rows else None, b_ub=self.room if self.rows else None,
                A_eq=self.one_each, b_eq=np.ones(len(self.groups)), bounds=(0, None), method="highs",
            )  # fmt: skip
        if answer.status != 0:
            return None
        prices = -answer.ineqlin.marginals if self.rows else np.zeros(0)
        prices = np.maximum(prices, 0.0) * self.span
        priced = self.costs + sum((p * row for p, row in zip(prices, self.rows, strict=True)), np.zeros(len(self.costs)))
        least = np.full(len(self.groups), np.inf)
        np.minimum.at(least, self.owner, priced)
        bound = math.fsum((*least, *(-p * room for p, room in zip(prices, self.room, strict=True))))
        return _Relaxed(bound, prices, priced - least[self.owner])

    def near(self, relaxed: _Relaxed, reach: float) -> list[int] | None:
        """Return a packing over the options that raise the bound by up to `reach`, or one without branching; None: not found."""
        picks, _ = self.solve(relaxed, reach or math.inf, _NEAR)
        picks = picks or self._exchanged()
        if picks is not None:
            self.polish(picks)
        return picks

    def _exchanged(self) -> list[int] | None:
        import numpy as np

        rows = np.array(self.rows).reshape(-1, len(self.owner))
        search = Exchange(self.owner, rows, np.array(self.room), self.costs / self.span)
        relaxed = search.relaxed()
        picks = [] if relaxed is None else [self.index[column] for column in search.picks(relaxed)]
        return picks if picks and self._fits(picks) else None

    def solve(self, relaxed: _Relaxed, most: float, close: float = 0.0) -> tuple[list[int] | None, float]:
        """Return the best packing over the options that raise the bound by up to `most`, and the gap not excluded.

        The solver stops where it is `close`, by a share of what is above the options that raise nothing.
        """
        for _ in range(_ATTEMPTS):
            picks, gap = self._once(relaxed, most, close)
            if picks is None or self._fits(picks):
                return picks, gap
            self.cuts.append([k for k, (n, i) in enumerate(zip(self.owner, self.index, strict=True)) if picks[n] == i])
        return None, min(most, self.span)

    def _once(self, relaxed: _Relaxed, most: float, close: float) -> tuple[list[int] | None, float]:
        """Solve once; the picks may exceed a budget by what the solver tolerates.

        Costs and weights are differences from each group's option that does not raise the bound, in thousandths of `most`,
        weights by their price: what the solver tolerates is then as little in cost.
        """
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp

        unit = min(most, self.span) / _SCALE
        left = np.flatnonzero(relaxed.raises <= most * (1 + 1e-9))
        order = np.lexsort((relaxed.raises, self.owner))
        base = order[np.unique(self.owner[order], return_index=True)[1]]
        bounds = [LinearConstraint(self.one_each[:, left], 1, 1)]
        for row, room, price in zip(self.rows, self.room, relaxed.prices, strict=True):
            scale = max(float(price) / unit, 1.0)
            free = math.fsum((room, *(-row[base])))
            bounds.append(LinearConstraint(scale * (row - row[base][self.owner])[left], -np.inf, scale * free))
        for cut in self.cuts:
            bounds.append(LinearConstraint(np.isin(left, cut).astype(float), 0, len(self.groups) - 1))
        costs = (self.costs - self.costs[base][self.owner])[left] / unit
        options = {"mip_rel_gap": close, "node_limit": _NODES}
        with hushed():
            answer = milp(costs, constraints=bounds, integrality=np.ones(len(left)), bounds=Bounds(0, 1), options=options)
        if answer.x is None:
            return None, 0.0 if answer.status == 2 else unit * _SCALE
        picks, share = [0] * len(self.groups), [-1.0] * len(self.groups)
        for column, part in zip(left, answer.x, strict=True):
            number = self.owner[column]
            if part > share[number]:
                picks[number], share[number] = self.index[column], part
        return picks, 0.0 if answer.status == 0 else unit * _SCALE

    def polish(self, picks: list[int]) -> None:
        """Take a cheaper option of a group wherever the budgets allow it, those first that save most."""
        cheaper = [
            (option.cost - group[pick].cost, number, index)
            for number, (group, pick) in enumerate(zip(self.groups, picks, strict=True))
            for index, option in enumerate(group) if option.cost < group[pick].cost
        ]
        for _, number, index in sorted(cheaper):
            before = picks[number]
            if self.groups[number][index].cost < self.groups[number][before].cost:
                picks[number] = index
                if not self._fits(picks):
                    picks[number] = before

    def _fits(self, picks: Sequence[int]) -> bool:
        chosen = [group[pick] for group, pick in zip(self.groups, picks, strict=True)]
        return all(math.fsum(o.weights[axis] for o in chosen) <= budget for axis, budget in enumerate(self.budgets))
