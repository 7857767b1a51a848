"""Solves under limits on memory and latency that not the sums of the layers have to keep, but the prediction of the plan.

The sums leave out what layers cost or save together, so they may be too low, or too high.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sdk.errors import BudgetError
from sdk.pipeline.foreseeing import FIELDS
from sdk.pipeline.judging import Judge
from sdk.pipeline.refusing import NotKept
from sdk.pipeline.remembering import Run
from sdk.planning import Budget, Infeasible, Limits, Problem, Solution, all_objectives, need, objective_of, times_together
from sdk.planning.offers import Limit, RowsOffer

ROUNDS = 3
"""Solutions after which a limit is given up that the sums keep and the prediction does not."""
WAYS = 2
"""Plans at most that are tried to find how little a limit has to give way."""
NEXT = 1 + 1e-9
"""Above a value by what sums may be rounded by."""
LEAST_SHARE = 1 / 64
"""Share of what a prediction exceeds its limit by, below which the sums are narrowed no further."""
CLOSE = 0.0025
"""Share of the least memory or latency within which plans are as good."""
Wanted = Callable[[Limits, bool], Solution]
"""Solves under limits for one objective, exactly or near the optimum."""
TOO_HIGH = 0.005
"""Share of a limit by which a sum has to exceed the prediction for wider sums to be tried."""


def solve_kept(
    problem: Problem, limits: Limits, judge: Judge, run: Run, objective: str
) -> Solution:
    """Solve, and again with narrower limits while the prediction exceeds a limit that the sums keep, or with wider ones.

    `run` solves under limits for an objective. Infeasible or NotKept with the counter-offer.
    """
    wanted = partial(_for, run, objective)
    try:
        found = kept_plan(problem, limits, judge, wanted)
    except Infeasible as error:
        least = _least_alone(error, problem, limits, judge, run)
        if least is None or any(value > limits.rows[name] for name, value in _limited(judge, least, limits).items()):
            raise _as_predicted(error, least, problem, limits, judge, run) from error
        found = least  # the sums were too high
    if isinstance(found, Solution):
        wider = _widened(problem, limits, found, judge, wanted)
        return min(found, wider, key=lambda each: judge.value(each, objective))
    name, *further = [each for each in FIELDS if each in limits.rows]
    if further:
        raise NotKept(limits, {each: _way(problem, limits, each, judge, wanted) for each in (name, *further)}, found)
    least = solve_least(problem, limits.having(name, math.inf), name, judge, run)
    if judge.predict(least)[name] > limits.rows[name]:
        raise NotKept(limits, {name: (judge.predict(least)[name], least.loss)}, found)
    return _better(problem, limits, name, least, judge, wanted, limits.rows[name])


def _least_alone(
    error: Infeasible, problem: Problem, limits: Limits, judge: Judge, run: Run
) -> Solution | None:
    """The plan of least predicted memory or latency that keeps the other limits, where that limit alone binds by the sums."""
    names = [name for name in FIELDS if name in limits.rows]
    if len(names) != 1 or not isinstance(error.offer, RowsOffer) or names[0] not in error.offer.binding:
        return None
    try:
        return solve_least(problem, limits.having(names[0], math.inf), names[0], judge, run)
    except BudgetError:
        return None


def _widened(
    problem: Problem, limits: Limits, found: Solution, judge: Judge, run: Wanted
) -> Solution:
    """A better plan whose sum exceeds the one limit on memory or latency and whose prediction does not, or `found`."""
    names = [name for name in FIELDS if name in limits.rows]
    if len(names) != 1:
        return found
    name = names[0]
    above = _summed(problem, name, found) - judge.predict(found)[name]
    if above <= TOO_HIGH * limits.rows[name]:
        return found
    high = (limits.rows[name] + above) * NEXT
    widest = run(limits.having(name, high), False)
    if judge.predict(widest)[name] <= limits.rows[name]:
        return widest
    return _better(problem, limits, name, found, judge, run, high)


def _limited(judge: Judge, found: Solution, limits: Limits) -> dict[Budget, float]:
    """What is predicted of a plan, of what is limited."""
    needs = judge.predict(found)
    return {name: needs[name] for name in needs if name in limits.rows}


def _as_predicted(
    error: Infeasible, least: Solution | None, problem: Problem, limits: Limits, judge: Judge,
    run: Run,
) -> BudgetError:
    """The refusal by sums, with what a plan is predicted to need, which is more: of one limit, or of each way out of several.

    `least` needs least of the one limit that binds.
    """
    if not isinstance(error.offer, RowsOffer):
        return error
    for name in FIELDS:
        if error.offer.binding == (name,) and len(limits.rows) == 1:
            return error if least is None else NotKept(limits, {name: (judge.predict(least)[name], least.loss)}, {})
    offered = [_alone(each, problem, judge, run) for each in error.offer.limits]
    ways = tuple(_tried(each, problem, limits, judge, partial(_for, run, "quality")) for each in offered)
    together = error.offer.together
    if all(each.given is None for each in ways):
        together = times_together(limits, lambda wider: _is_kept(problem, wider, judge, partial(_for, run, "smallest")))
    return Infeasible(replace(error.offer, limits=ways, together=together))


def _alone(limit: Limit, problem: Problem, judge: Judge, run: Run) -> Limit:
    """A limit on memory or latency that no plan meets by the sums, with the least that any plan is predicted to need."""
    name = next((each for each in FIELDS if each == limit.name), None)
    if name is None or limit.alone is None or limit.alone <= limit.value:
        return limit
    least = solve_least(problem, Limits().having(name, math.inf), name, judge, run)
    needed = judge.predict(least)[name]
    return replace(limit, alone=needed, loss=least.loss) if needed < limit.alone else limit


def _is_kept(problem: Problem, limits: Limits, judge: Judge, run: Wanted) -> bool:
    """Whether a plan was found that keeps the limits as predicted."""
    try:
        return isinstance(kept_plan(problem, limits, judge, run, near=True), Solution)
    except Infeasible:
        return False


def _tried(way: Limit, problem: Problem, limits: Limits, judge: Judge, run: Wanted) -> Limit:
    """A way out as a plan was found that takes it, with the further limits that its prediction exceeds; else none."""
    if way.given is None:
        return way
    wider, besides = limits.having(way.name, way.given * NEXT), dict[str, float]()
    for _ in range(WAYS):
        try:
            found = kept_plan(problem, wider, judge, run, near=True)
        except Infeasible:
            break
        if isinstance(found, Solution):
            given = max(way.given, judge.predict(found)[way.name]) if way.name in FIELDS else way.given
            return replace(way, given=given, loss=found.loss if way.loss is not None else None, besides=tuple(besides.items()))
        for name, value in found.items():
            wider = wider.having(name, value * NEXT)
            if name != way.name:
                besides[name] = value * NEXT
    return replace(way, given=None, loss=None)


def _better(
    problem: Problem, limits: Limits, name: Budget, best: Solution, judge: Judge, run: Wanted, high: float
) -> Solution:
    """Of the plans that WAYS solutions find, the one of the widest sums, up to `high`, whose prediction keeps the limit `name`.

    Else `best`.
    """
    low = _summed(problem, name, best)
    high = max(low, high)
    for _ in range(WAYS):
        middle = (low + high) / 2
        found = run(limits.having(name, middle), True)
        if judge.predict(found)[name] <= limits.rows[name]:
            best, low = found, middle
        else:
            high = middle
    return best


def kept_plan(
    problem: Problem, limits: Limits, judge: Judge, run: Wanted, near: bool = False
) -> Solution | dict[Budget, float]:
    """The solution; or the least that was predicted of each limit that is exceeded. Infeasible where the sums exceed one.

    The first solution is the exact one of the limits, or `near` it as all further ones are: their limits are only tried.
    """
    before, narrow, least, share = limits, limits, dict[Budget, float](), 1.0
    needed, excess = dict[Budget, float](), dict[Budget, float]()
    for _ in range(ROUNDS):
        try:
            solution = run(narrow, near or narrow is not limits)
        except Infeasible:
            if narrow is limits:
                raise
            share /= 4  # other plans' sums may be too low by less than the last one's
            if share < LEAST_SHARE:
                return least
        else:
            before, share = narrow, 1.0
            found = _limited(judge, solution, limits)
            excess = {name: value - limits.rows[name] for name, value in found.items() if value > limits.rows[name]}
            if not excess:
                return solution
            least = {name: min(least.get(name, found[name]), found[name]) for name in excess}
            needed = {name: _summed(problem, name, solution) for name in excess}
        narrow = _narrowed(before, needed, {name: share * value for name, value in excess.items()})
    return least


def _summed(problem: Problem, name: Budget, solution: Solution) -> float:
    """What a plan needs of what the limit `name` is on, by the sums of its layers."""
    return need(problem.rows, name, solution.schemes) or 0.0


def _way(
    problem: Problem, limits: Limits, name: Budget, judge: Judge, run: Wanted
) -> tuple[float, float] | None:
    """How much the limit `name` has to be, the others kept, as a plan that was found needs; and that plan's loss."""
    found = _least(problem, limits, name, limits.rows[name], None, judge, run)
    return None if found is None else (judge.predict(found)[name], found.loss)


def solve_least(problem: Problem, limits: Limits, name: Budget, judge: Judge, run: Run) -> Solution:
    """The plan of least predicted memory or latency, by `name`, within `limits`, of those that WAYS solutions find.

    `run` solves under limits for the objective of a name. Infeasible or NotKept with the counter-offer.
    """
    objective = objective_of(name).name
    first = solve_kept(problem, limits, judge, run, objective)
    low = _summed(problem, name, first)
    further = [each.name for each in all_objectives().values() if each.minimise in FIELDS and each.minimise != name]
    others = further if {row.budget for row in problem.rows} > {name} else []
    for other in (*others, "quality"):  # sums of another kind lead to other plans, whose predictions may be less
        first = _least(problem, limits, name, low, first, judge, partial(_for, run, other)) or first
    return first


def _for(run: Run, objective: str, limits: Limits, near: bool) -> Solution:
    return run(limits, objective, near)


def _least(
    problem: Problem, limits: Limits, name: Budget, low: float, best: Solution | None, judge: Judge,
    run: Wanted,
) -> Solution | None:
    """A plan of less predicted memory or latency than `best`, above `low`, that keeps the other limits; else `best`."""
    value = math.inf if best is None else judge.predict(best)[name]
    for _ in range(WAYS):
        if value <= low * (1 + CLOSE):
            break
        middle = math.sqrt(low * value)
        try:
            found = kept_plan(problem, limits.having(name, middle), judge, run, near=True)
        except Infeasible:
            found = {}
        if isinstance(found, Solution):
            best, value = found, judge.predict(found)[name]
        elif best is None:
            return None
        else:
            low = middle
    return best


def _narrowed(limits: Limits, needed: dict[Budget, float], excess: dict[Budget, float]) -> Limits:
    """The limits, below what the sums of the last plan needed by as much as its prediction was too high."""
    if "max_memory" in excess:
        limits = replace(limits, max_memory=max(1, int(needed["max_memory"] - excess["max_memory"])))
    if "max_latency" in excess:
        limits = replace(limits, max_latency=max(1e-9, needed["max_latency"] - excess["max_latency"]))
    return limits
