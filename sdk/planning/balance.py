"""Plans under limits on memory and latency as well: several budgets at once, and what would have to give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sdk.errors import BadInput
from sdk.planning.least import pack_least
from sdk.planning.limits import Limits, Solution, solution_of
from sdk.planning.objectives import Objective
from sdk.planning.objectives.objective import Cost
from sdk.planning.offers import NAMES, Limit, RowsOffer
from sdk.planning.options import Choices, Problem
from sdk.planning.refuse import Infeasible
from sdk.planning.rows import Budget, Row
from sdk.planning.several import Weighed, pack_several

_CLOSE = 5e-3
"""How close, relative to the limit, the least memory or latency of a counter-offer is found."""


def solve_rows(problem: Problem, limits: Limits, objective: Objective, near: bool = False) -> Solution:
    """Return the best solution of `objective` within `limits`, some of which the problem's rows sum up, or one `near` it.

    What the rows sum up is made least to within _CLOSE; among plans that need so little, the one that loses least is taken.
    Infeasible carries a RowsOffer. BadInput when the problem has no row for a limit, or for what is to be least.
    """
    wanted, minimise = limits, objective.minimise
    rows: list[Budget] = [*limits.rows, *([minimise] if minimise in ("max_memory", "max_latency") else [])]
    for budget in rows:
        if not any(row.budget == budget for row in problem.rows):
            raise nothing_predicts(budget)
    if minimise == "max_memory" or minimise == "max_latency":
        least = _least(problem, replace(limits, **{minimise: None}), minimise, near)
        if least is None:
            raise Infeasible(partial(_offer, problem, limits))
        most = least * (1 + _CLOSE / 2)
        most = max(least, math.floor(most)) if minimise == "max_memory" else most  # whole bytes
        wanted, minimise = limits.having(minimise, min(most, limits.rows.get(minimise, math.inf))), "loss"
    found = _packed(problem, wanted, minimise, near)
    if found is None:
        raise Infeasible(partial(_offer, problem, limits))
    return found


def nothing_predicts(budget: Budget) -> BadInput:
    """The refusal of a limit on what no model of device and target predicts."""
    mends = "leave it out or choose another target"
    if budget == "max_latency":
        mends = "leave it out, choose another target, or use `sdk devices probe` (LiteRT and ExecuTorch on the CPU)"
    return BadInput(f"{budget}: nothing predicts it for this target: {mends}")


def _packed(problem: Problem, limits: Limits, minimise: Cost, near: bool = False) -> Solution | None:
    """The solution of least loss or fewest bytes within the limits, or None when there is none."""
    ordered, rows = _ordered(problem), _rows(problem, limits)
    packed = pack_several(_groups(problem, minimise, [row for row, _ in rows]), [limit for _, limit in rows], near)
    if packed is None:
        return None
    chosen = {c.layer: c.options[pick] for c, pick in zip(ordered, packed.picks[:-1], strict=True)}
    return solution_of(problem, chosen, gap=packed.gap)


def _ordered(problem: Problem) -> list[Choices]:
    """The layers by name, so that their order cannot matter."""
    return sorted(problem.choices, key=lambda choices: choices.layer)


def _groups(problem: Problem, minimise: Cost, rows: Sequence[Row]) -> list[list[Weighed]]:
    """Every layer's options, weighed in `rows`; last what the rows have of their own, so that sums are rounded as theirs are."""
    groups = [
        [
            Weighed(o.loss if minimise == "loss" else float(o.bytes), tuple(row.amount(c.layer, o.scheme) for row in rows))
            for o in c.options
        ]
        for c in _ordered(problem)
    ]  # fmt: skip
    return [*groups, [Weighed(0.0, tuple(row.base for row in rows))]]


def _rows(problem: Problem, limits: Limits) -> list[tuple[Row, float]]:
    """Every sum that is limited, with its limit; size and loss as rows like the others."""
    found: list[tuple[Row, float]] = []
    if limits.max_size is not None:
        sizes = {c.layer: {o.scheme: float(o.bytes) for o in c.options} for c in problem.choices}
        found.append((Row("max_size", "the file", float(problem.base), sizes), float(limits.max_size)))
    if limits.max_loss is not None:
        losses = {c.layer: {o.scheme: o.loss for o in c.options} for c in problem.choices}
        found.append((Row("max_loss", "all layers", 0.0, losses), problem.response.total(limits.max_loss)))
    return found + [(row, limits.rows[row.budget]) for row in problem.rows if row.budget in limits.rows]


def _offer(problem: Problem, limits: Limits) -> RowsOffer:
    """What each limit would have to be: for itself, and with the others as they are; all of them, where one is not enough."""
    said = {name: getattr(limits, name) for name in NAMES if getattr(limits, name) is not None}
    found = []
    for name, value in said.items():
        others = replace(limits, **{name: None})
        alone, given = _least(problem, Limits(), name), _least(problem, others, name)
        found.append(Limit(name, value, alone, given, _loss(problem, limits, name, alone, given)))
    enough = any(each.given is not None for each in found)
    kept = partial(_keeps, problem)
    return RowsOffer(tuple(found), together=None if enough else times_together(limits, kept))


def _loss(problem: Problem, limits: Limits, name: str, alone: float | None, given: float | None) -> float | None:
    """The least loss where the limit `name` is as `given`, or as little as it can be `alone`; None for a limit on the loss."""
    value, others = (alone, Limits()) if given is None else (given, limits)
    if name == "max_loss" or value is None:
        return None
    found = _packed(problem, others.having(name, value), "loss")
    return None if found is None else found.loss


def _scaled(limits: Limits, times: float) -> Limits:
    """All limits, so many times as high; bytes are rounded up."""
    size, memory = (None if each is None else math.ceil(times * each) for each in (limits.max_size, limits.max_memory))
    loss, latency = (None if each is None else times * each for each in (limits.max_loss, limits.max_latency))
    return Limits(size, loss, memory, latency)


def times_together(limits: Limits, kept: Callable[[Limits], bool]) -> float | None:
    """Times which all limits can be `kept`, a whole number of percents more; None where ten times are not enough."""
    low, high = 100, 200
    while not kept(_scaled(limits, high / 100)):
        low, high = high, 2 * high
        if high > 1000:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(_scaled(limits, middle / 100)) else (middle, high)
    return high / 100


def _keeps(problem: Problem, limits: Limits) -> bool:
    return _packed(problem, limits, "bytes") is not None


def _least(problem: Problem, limits: Limits, name: str, near: bool = False) -> float | None:
    """The least value of the limit `name` that the other `limits` leave possible; None when those cannot be met."""
    if name in ("max_size", "max_loss"):
        found = _packed(problem, limits, "bytes" if name == "max_size" else "loss")
        return None if found is None else float(found.bytes) if name == "max_size" else found.loss
    rows, limited = [row for row in problem.rows if row.budget == name], _rows(problem, limits)
    picks = pack_least(
        _groups(problem, "bytes", [*(row for row, _ in limited), *rows]), [limit for _, limit in limited], _CLOSE / 2, near
    )
    if picks is None:
        return None
    schemes = {c.layer: c.options[pick].scheme for c, pick in zip(_ordered(problem), picks, strict=False)}
    return max(row.total(schemes) for row in rows)
