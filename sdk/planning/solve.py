"""Chooses one scheme per layer: the exact optimum of an objective within limits on size, loss, memory and latency."""

from __future__ import annotations

from sdk.planning.balance import solve_rows
from sdk.planning.knapsack import pack
from sdk.planning.limits import Limits, Solution, solution_of
from sdk.planning.objectives import Objective, objective_named
from sdk.planning.options import Choices, Option, Problem
from sdk.planning.refuse import Infeasible, counter_offer
from sdk.planning.ties import joined, separated


def solve(problem: Problem, limits: Limits, objective: Objective | str = "quality", near: bool = False) -> Solution:
    """Return the best solution of `problem` within `limits`, or, of limits on memory and latency, one `near` it in less time.

    No limit is ever exceeded; a wider limit never makes the result worse; the order of the layers
    is irrelevant. Infeasible (a BudgetError) carries the counter-offer. BadInput for limits that are no
    numbers.
    """
    wanted = objective_named(objective) if isinstance(objective, str) else objective
    limits.check()
    return separated(problem, _solve(joined(problem), limits, wanted, near))


def _solve(problem: Problem, limits: Limits, wanted: Objective, near: bool) -> Solution:
    if limits.rows or wanted.minimise in ("max_memory", "max_latency"):
        return solve_rows(problem, limits, wanted, near)
    best_quality = wanted.minimise == "loss"
    found = within_size(problem, limits.max_size) if best_quality else _smallest(problem, limits.max_loss)
    if found is None or _exceeds(found, limits):
        raise Infeasible(lambda: counter_offer(problem, limits.max_size, limits.max_loss, _at_most(problem, limits)))
    return found


def within_size(problem: Problem, max_size: int | None) -> Solution | None:
    """Return the solution of least loss in at most `max_size` bytes, or None when none is that small."""
    fronts = _fronts(problem)
    if max_size is None:
        return solution_of(problem, {name: front[-1] for name, front in fronts.items()}, 0.0, 0.0)
    groups = [[(o.loss, float(o.bytes)) for o in front] for front in fronts.values()]
    packing = pack(groups, float(max_size - problem.base))
    if packing is None:
        return None
    chosen = {n: front[p] for (n, front), p in zip(fronts.items(), packing.picks, strict=True)}
    return solution_of(problem, chosen, packing.price, packing.gap)


def within_loss(problem: Problem, max_loss: float | None) -> Solution | None:
    """Return a solution of fewest bytes with at most `max_loss`, or None when none is that good."""
    fronts = {name: tuple(reversed(front)) for name, front in _fronts(problem).items()}
    if max_loss is None:
        return solution_of(problem, {name: front[-1] for name, front in fronts.items()}, 0.0, 0.0)
    groups = [[(float(o.bytes), o.loss) for o in front] for front in fronts.values()]
    packing = pack(groups, problem.response.total(max_loss))
    if packing is None:
        return None
    chosen = {n: front[p] for (n, front), p in zip(fronts.items(), packing.picks, strict=True)}
    return solution_of(problem, chosen, 1.0 / packing.price if packing.price else 0.0, packing.gap)


def _smallest(problem: Problem, max_loss: float | None) -> Solution | None:
    """Fewest bytes first; then, in that many bytes, the least loss."""
    small = within_loss(problem, max_loss)
    if small is None:
        return None
    best = within_size(problem, _apart(problem, small))
    if best is None or best.loss > small.loss:
        return small
    return solution_of(problem, best.chosen, small.price, small.gap)


def _apart(problem: Problem, found: Solution) -> int:
    """Bytes of a solution without what its layers save beside each other."""
    options = (problem[layer].option(option.scheme) for layer, option in found.chosen.items())
    return problem.base + sum(option.bytes for option in options if option is not None)


def _at_most(problem: Problem, limits: Limits) -> tuple[Solution | None, Solution | None]:
    """What each limit alone allows: the best within the size, the smallest within the loss."""
    if limits.max_size is None or limits.max_loss is None:
        return None, None
    return within_size(problem, limits.max_size), _smallest(problem, limits.max_loss)


def _fronts(problem: Problem) -> dict[str, tuple[Option, ...]]:
    """The layers' fronts by name, so that the order of the layers cannot matter."""
    ordered: list[Choices] = sorted(problem.choices, key=lambda c: c.layer)
    return {choices.layer: choices.front for choices in ordered}


def _exceeds(found: Solution, limits: Limits) -> bool:
    too_big = limits.max_size is not None and found.bytes > limits.max_size
    return too_big or (limits.max_loss is not None and found.loss > limits.max_loss)
