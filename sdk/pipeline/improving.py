"""Better plans by what is predicted of them, where the sums of layers mislead: one layer after the other gets another scheme."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from sdk.pipeline.judging import Judge, within_sums
from sdk.pipeline.refusing import NotKept
from sdk.planning import Budget, Limits, Option, Problem, Solution, objective_named, objective_of, solution_of
from sdk.planning.objectives.objective import Cost

PREDICTIONS = 150
"""Plans whose memory and latency are predicted at most: milliseconds each."""

STARTS = 3
"""Plans, the best ones first, that are bettered: of each a search may end at another."""

_LEAST: dict[Budget, Cost] = {
    "max_size": "bytes", "max_loss": "loss", "max_memory": "max_memory", "max_latency": "max_latency",
}  # fmt: skip
"""Limit → what is made least to find how much of it is needed."""

OFF = 0.01
"""Share of a limit by which the sums of a plan one move away may be off, counted from what is predicted of the one before it."""


def improved(
    problem: Problem, limits: Limits, objective: str, found: Iterable[Solution], judge: Judge, predictions: int = PREDICTIONS
) -> Solution | None:
    """Return a plan that keeps the limits and that no other scheme of one layer betters; None where none of `found` keeps them.

    It begins with the best ones of `found`, STARTS of them, and with those that leave most of each limit on memory and latency,
    which have most room to be bettered. After so many `predictions` from each it is whatever was found until then.
    """
    kept = [each for each in found if judge.keeps(each, limits)]
    if not kept:
        return None
    needs = [partial(judge.value, objective=objective), *(partial(_needed, judge, name) for name in limits.rows)]
    firsts = [*sorted(kept, key=needs[0])[:STARTS], *(min(kept, key=need) for need in needs[1:])]
    starts = list({judge.key(first): first for first in firsts}.values())
    ends = [_climbed(problem, limits, objective, start, judge, predictions) for start in starts]
    return min(ends, key=needs[0])


def _needed(judge: Judge, name: Budget, solution: Solution) -> tuple[float, float]:
    return judge.predict(solution)[name], solution.loss


def _climbed(
    problem: Problem, limits: Limits, objective: str, best: Solution, judge: Judge, predictions: int
) -> Solution:
    """A plan that no other scheme of one layer betters. Layers that hold one weight are left together, as they are."""
    most = judge.predictions + predictions
    while not problem.ties:
        better = _better(problem, limits, objective, best, judge, most)
        if better is best:
            break
        best = better
    return best


def nearest(problem: Problem, limits: Limits, found: Sequence[Solution], judge: Judge) -> dict[Budget, Solution]:
    """Limit → the plan that needs least of it and keeps the others as predicted, bettered; none where no plan does."""
    plans: dict[Budget, Solution] = {}
    least = {name: minimise for name, minimise in _LEAST.items() if getattr(limits, name) is not None}
    for name, minimise in least.items():
        best = improved(problem, limits.having(name, math.inf), objective_of(minimise).name, found, judge)
        if best is not None:
            plans[name] = best
    return plans


def nearer(error: NotKept, plans: Mapping[Budget, Solution], judge: Judge, free: float) -> NotKept:
    """Return the refusal with what each limit would have to be as the nearest `plans` need, where that is less.

    `free`: share of max_size that plans leave free.
    """
    ways = dict(error.ways)
    for name, plan in plans.items():
        needs = {"max_size": plan.bytes / (1 - free), "max_loss": plan.loss, **judge.predict(plan)}
        known = ways.get(name)
        if known is None or needs[name] < known[0]:
            ways[name] = needs[name], plan.loss
    return NotKept(error.limits, ways, error.least)


def _better(problem: Problem, limits: Limits, objective: str, best: Solution, judge: Judge, most: int) -> Solution:
    """The plan after every layer had its turn, those first that promise most."""
    gain, may_fit = _gain(problem, objective, best), _fitting(problem, limits, best, judge)
    known = objective_named(objective).minimise == "loss"
    for layer, option in sorted(_moves(problem, best), key=gain):
        if judge.predictions >= most:
            break
        if not may_fit((layer, option)) or (known and option.loss > best.chosen[layer].loss):
            continue
        moved = _moved(problem, best, layer, option)
        if within_sums(moved, limits) and _promises(moved, best, objective) and judge.keeps(moved, limits):
            better = min(best, moved, key=lambda each: judge.value(each, objective))
            if better is not best:
                best, may_fit = better, _fitting(problem, limits, better, judge)
    return best


def _fitting(problem: Problem, limits: Limits, best: Solution, judge: Judge) -> Callable[[tuple[str, Option]], bool]:
    """Whether a move may keep the limits on memory and latency: its sums rise by so much from what is predicted of the plan."""
    sums = {name: [(row, row.total(best.schemes)) for row in problem.rows if row.budget == name] for name in limits.rows}
    room = {
        name: limit * (1 + OFF) - judge.predict(best)[name] + max(now for _, now in sums[name])
        for name, limit in limits.rows.items()
    }

    def fits(move: tuple[str, Option]) -> bool:
        layer, option = move
        before = best.chosen[layer].scheme
        return all(
            now - row.amount(layer, before) + row.amount(layer, option.scheme) <= room[name]
            for name, rows in sums.items() for row, now in rows
        )

    return fits


def _moves(problem: Problem, best: Solution) -> Iterator[tuple[str, Option]]:
    for choices in problem.choices:
        for option in choices.options:
            if option.scheme != best.chosen[choices.layer].scheme:
                yield choices.layer, option


def _moved(problem: Problem, best: Solution, layer: str, option: Option) -> Solution:
    chosen: Mapping[str, Option] = {**best.chosen, layer: option}
    return solution_of(problem, chosen)


def _gain(problem: Problem, objective: str, best: Solution) -> Callable[[tuple[str, Option]], float]:
    """What is made least, by sums, of the plan after a move."""
    minimise = objective_named(objective).minimise
    rows = [(row, row.total(best.schemes)) for row in problem.rows if row.budget == minimise]

    def gain(move: tuple[str, Option]) -> float:
        layer, option = move
        before = best.chosen[layer]
        if rows:
            return max(now - row.amount(layer, before.scheme) + row.amount(layer, option.scheme) for row, now in rows)
        return option.loss - before.loss if minimise == "loss" else float(option.bytes - before.bytes)

    return gain


def _promises(moved: Solution, best: Solution, objective: str) -> bool:
    """Whether a plan may be better: it is, by what is a sum; else its prediction decides."""
    minimise = objective_named(objective).minimise
    if minimise == "loss":
        return (moved.loss, moved.bytes) < (best.loss, best.bytes)
    return minimise != "bytes" or (moved.bytes, moved.loss) < (best.bytes, best.loss)
