"""The Lagrangian side of the knapsack: a price, a bound, a good packing and the few options still open."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Item = tuple[float, float]
"""(value to make little, weight that the budget limits) of one option."""
Group = Sequence[Item]
"""One layer's options that no other one beats: weights rising, values falling."""

_NOISE = 1e-13


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What the relaxation knows of `groups` under a budget.

    `picks` is a packing within the budget and `value` its value. `price` is the value that one more
    unit of budget would save (0 when the budget does not bind). No packing's value is more than `gap`
    below `value`. `open`: per group, the indices of the options that a better packing may use.
    """

    picks: list[int]
    value: float
    price: float
    gap: float
    open: list[list[int]]


def relax(groups: Sequence[Group], budget: float) -> Relaxed:
    """Relax the budget into a price; the lightest packing must be within `budget`."""
    picks, price = _climb(groups, budget)
    _fill(groups, picks, budget)
    _swap(groups, picks, budget)
    reduced = [_reduced(group, price) for group in groups]
    spent = math.fsum(costs[pick] for costs, pick in zip(reduced, picks, strict=True))
    gap = spent + price * max(room(groups, picks, budget), 0.0)
    open_ = [
        [index for index, cost in enumerate(costs) if cost <= gap + _NOISE * (gap + max(costs))]
        for costs in reduced
    ]
    return Relaxed(picks, total(groups, picks, 0), price, gap, open_)


def _reduced(group: Group, price: float) -> list[float]:
    """What each option costs more than the group's best one when weight is paid for at `price`."""
    costs = [(value - group[-1][0]) + price * (weight - group[0][1]) for value, weight in group]
    least = min(costs)
    return [cost - least for cost in costs]


def total(groups: Sequence[Group], picks: Sequence[int], axis: int) -> float:
    """Return the sum of the picked values (`axis` 0) or weights (1), correctly rounded."""
    return math.fsum(group[pick][axis] for group, pick in zip(groups, picks, strict=True))


def room(groups: Sequence[Group], picks: Sequence[int], budget: float) -> float:
    """Return what the picks leave of the budget, rounded once; a sum that rounds to the budget fits."""
    weights = (-group[pick][1] for group, pick in zip(groups, picks, strict=True))
    return math.fsum((budget, math.ulp(budget) / 2, *weights))


def hull(group: Group) -> list[int]:
    """Return the indices of the options on the lower convex hull, from the lightest to the best."""
    kept: list[int] = []
    for index, (value, weight) in enumerate(group):
        while len(kept) > 1:
            (v0, w0), (v1, w1) = group[kept[-2]], group[kept[-1]]
            if (v0 - v1) * (weight - w0) > (v0 - value) * (w1 - w0):
                break
            kept.pop()
        kept.append(index)
    return kept


def steps(groups: Sequence[Group]) -> list[tuple[float, int, int, int]]:
    """Return the hulls' steps (value saved per weight, group, from, to), the best first."""
    found = []
    for number, group in enumerate(groups):
        corners = hull(group)
        for a, b in itertools.pairwise(corners):
            rate = (group[a][0] - group[b][0]) / (group[b][1] - group[a][1])
            found.append((rate, number, a, b))
    return sorted(found, key=lambda step: (-step[0], step[1], step[2]))


def _climb(groups: Sequence[Group], budget: float) -> tuple[list[int], float]:
    """Take the hulls' steps while they fit; the first that does not sets the price."""
    picks = [0] * len(groups)
    left = start = room(groups, picks, budget)
    price, blocked = 0.0, set()
    for rate, number, a, b in steps(groups):
        weight = groups[number][b][1] - groups[number][a][1]
        if number in blocked:
            continue
        if left < weight <= left + _NOISE * start:
            left = room(groups, picks, budget)
        if weight <= left:
            left -= weight
            picks[number] = b
        else:
            blocked.add(number)
            price = price or rate
    return picks, price


def _fill(groups: Sequence[Group], picks: list[int], budget: float) -> None:
    """Spend what is left on single options, the most saving first; give back what rounding overspent."""
    while total(groups, picks, 1) > budget:
        raised = [n for n, pick in enumerate(picks) if pick]
        picks[min(raised, key=lambda n: _saving(groups[n], picks[n] - 1, picks[n]))] -= 1
    while True:
        left = room(groups, picks, budget)
        best: tuple[float, int, int] | None = None
        for number, group in enumerate(groups):
            at = picks[number]
            fitting = [i for i in range(at + 1, len(group)) if group[i][1] - group[at][1] <= left]
            if fitting and (best is None or _saving(group, at, fitting[-1]) > best[0]):
                best = (_saving(group, at, fitting[-1]), number, fitting[-1])
        if best is None:
            return
        before = picks[best[1]]
        picks[best[1]] = best[2]
        if total(groups, picks, 1) > budget:
            picks[best[1]] = before
            return


def _saving(group: Group, a: int, b: int) -> float:
    return group[a][0] - group[b][0]


def _swap(groups: Sequence[Group], picks: list[int], budget: float) -> None:
    """Change two layers at once while that saves value and stays within the budget."""
    for _ in range(len(groups) * 4):
        pair = _best_pair(groups, picks, room(groups, picks, budget))
        if pair is None:
            return
        before = list(picks)
        value = total(groups, picks, 0)
        for number, index in pair:
            picks[number] = index
        if total(groups, picks, 1) > budget or total(groups, picks, 0) >= value:
            picks[:] = before
            return


def _best_pair(groups: Sequence[Group], picks: Sequence[int], left: float) -> list[tuple[int, int]] | None:
    """Return the two changes (group, option) of different groups that together save most, or None."""
    import numpy as np

    moves = sorted(
        (item[1] - group[at][1], item[0] - group[at][0], number, index)
        for number, (group, at) in enumerate(zip(groups, picks, strict=True))
        for index, item in enumerate(group)
        if index != at
    )
    if not moves:
        return None
    weight = np.array([m[0] for m in moves])
    value = np.array([m[1] for m in moves])
    number = np.array([m[2] for m in moves])
    first, second = _running_best(value, number)
    last = np.searchsorted(weight, left - weight, side="right") - 1
    best = first[np.maximum(last, 0)]
    partner = np.where(number[best] == number, second[np.maximum(last, 0)], best)
    gain = np.where((last >= 0) & (partner >= 0), value + value[partner], np.inf)
    at = int(np.argmin(gain))
    if not gain[at] < 0:
        return None
    return [(moves[i][2], moves[i][3]) for i in (at, int(partner[at]))]


def _running_best(value: Any, number: Any) -> tuple[Any, Any]:
    """Per prefix of the moves: the index of the best one, and of the best one of another group (or -1)."""
    import numpy as np

    first, second = np.empty(len(value), dtype=np.int64), np.empty(len(value), dtype=np.int64)
    one, two = 0, -1
    for index in range(len(value)):
        if value[index] < value[one]:
            if number[index] != number[one]:
                two = one
            one = index
        elif number[index] != number[one] and (two < 0 or value[index] < value[two]):
            two = index
        first[index], second[index] = one, two
    return first, second
