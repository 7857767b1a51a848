"""The front of a plan within its limits: the least loss at each size, or at each latency, where the other limits hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

from sdk.costs import Costs
from sdk.errors import BudgetError
from sdk.pipeline.improving import improved
from sdk.pipeline.judging import Judge
from sdk.pipeline.keeping import kept_plan, solve_least
from sdk.pipeline.remembering import Remembering
from sdk.planning import Budget, Limits, Problem, Solution, front, nothing_predicts, objective_of, solve

Axis = Literal["size", "latency"]
"""What the loss is held against."""

LIMIT: dict[Axis, Budget] = {"size": "max_size", "latency": "max_latency"}

POINTS = 16
"""Points at most of a front whose plans have to be solved one by one."""

TRIED = 40
"""Plans that are predicted at a point, from each start, where the sums of layers lead to none that keeps the limits."""

CLOSE = 1.002
"""Factor between two points of a latency or a size that are told apart."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One plan of a front: its bytes, loss and predicted ms (None where that is not the axis), and the loss that the next unit
    of the axis, a byte or a ms, saves."""

    bytes: int
    loss: float
    latency: float | None
    price: float

    def at(self, axis: Axis) -> float:
        """Its place on the axis."""
        return float(self.bytes) if axis == "size" else self.latency or 0.0


def front_of(problem: Problem, costs: Costs, limits: Limits, axis: Axis, own: Solution) -> tuple[Trade, ...]:
    """Return the front along `axis`, rising there and of falling loss, of plans that keep the other limits as predicted.

    Limits on the axis itself and on the loss do not cut it: it shows what they would cost. Where no limit is left they are the
    corners of `sdk.planning.front`; else plans at values of the axis that rise by equal factors, the plan of these limits, `own`,
    among them. BadInput where nothing predicts the axis.
    """
    if axis == "latency" and costs.latency is None:
        raise nothing_predicts("max_latency")
    others = replace(limits.having(LIMIT[axis], math.inf), max_loss=None)
    if axis == "size" and not others.rows:
        return tuple(Trade(each.bytes, each.loss, None, each.price) for each in front(problem))
    run, judge = Remembering(partial(solve, problem)), Judge(costs)
    least = "smallest" if axis == "size" else objective_of("max_latency").name
    found = [own]

    def best(wanted: Limits, objective: str) -> Solution | None:
        made: object
        try:
            if objective == least and axis == "latency":
                return solve_least(problem, wanted, "max_latency", judge, run)
            made = kept_plan(problem, wanted, judge, lambda narrow, near: run(narrow, objective, near), near=True)
        except BudgetError:
            made = None
        if isinstance(made, Solution):
            return made
        return improved(problem, wanted, objective, [own, *found, *run.found], judge, TRIED)

    found += [each for name in (least, "quality") if (each := best(others, name)) is not None]
    places = [_trade(each, judge, axis).at(axis) for each in found]
    low, high = min(places), max(places)
    for step in range(1, POINTS - 1) if 0 < low < high else ():
        each = best(others.having(LIMIT[axis], low * (high / low) ** (step / (POINTS - 1))), "quality")
        found += [each] if each is not None else []
    kept = [each for each in found if judge.keeps(each, others)]
    return _priced(_falling((_trade(each, judge, axis) for each in kept), lambda trade: trade.at(axis)), axis)


def _trade(solution: Solution, judge: Judge, axis: Axis) -> Trade:
    latency = judge.predict(solution)["max_latency"] if axis == "latency" else None
    return Trade(solution.bytes, solution.loss, latency, 0.0)


def _falling(trades: Iterable[Trade], at: Callable[[Trade], float]) -> list[Trade]:
    """Those that none is better than on both, in their order along the axis; of two that are as close as noise, the first."""
    kept: list[Trade] = []
    for each in sorted(trades, key=lambda trade: (at(trade), trade.loss)):
        if not kept or (each.loss < kept[-1].loss and at(each) >= CLOSE * at(kept[-1])):
            kept.append(each)
        elif each.loss < kept[-1].loss:
            kept[-1] = each
    return kept


def _priced(trades: list[Trade], axis: Axis) -> tuple[Trade, ...]:
    """The trades with the loss that the way to the next one saves."""
    slopes = [(one.loss - two.loss) / (two.at(axis) - one.at(axis)) for one, two in pairwise(trades)]
    return tuple(replace(each, price=slope) for each, slope in zip(trades, [*slopes, 0.0], strict=True))
