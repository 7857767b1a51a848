"""Plans by prices: every layer takes what costs least where bytes, memory and latency have a price in loss.

Where sums mislead, no solution by sums may be near the best plan that is predicted to keep the limits. Plans of many prices lie
along the whole front, whatever the limits are, and cost nothing to find (Everett 1963, generalized Lagrange multipliers).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from sdk.planning import Budget, Choices, Problem, Solution, solution_of

PLANS = 96
"""Combinations of prices that are tried."""

BELOW, ABOVE = 3.0, 1.0
"""Factors by which prices go beyond what any unit saves: far below, the others decide alone."""

PRIMES = (2, 3, 5)
"""Bases of the sequences that spread prices evenly, one for each (Halton 1960)."""

Amounts = Mapping[str, Mapping[str, float]]


def walked(problem: Problem) -> list[Solution]:
    """Return the plans of PLANS combinations of prices of the file, memory and latency, each once: the same whatever is limited,
    so that more room finds no worse. None where layers hold one weight, whose schemes are no choice of one layer."""
    import numpy as np

    if problem.ties:
        return []
    axes = [_bytes(problem), *(_mean(problem, name) for name in dict.fromkeys(row.budget for row in problem.rows))]
    ranges = [_rates(problem, amounts) for amounts in axes]
    prices = np.array([
        [low * (high / low) ** _halton(step, base) if low > 0 else 0.0 for (low, high), base in zip(ranges, PRIMES, strict=False)]
        for step in range(1, PLANS + 1)
    ])  # fmt: skip
    chosen = np.array([_cheapest(choices, axes, prices) for choices in problem.choices])
    found = dict.fromkeys(tuple(picks) for picks in chosen.T.tolist())
    plans = [{c.layer: c.options[pick] for c, pick in zip(problem.choices, picks, strict=True)} for picks in found]
    return [solution_of(problem, plan) for plan in plans]


def _bytes(problem: Problem) -> Amounts:
    return {choices.layer: {option.scheme: float(option.bytes) for option in choices.options} for choices in problem.choices}


def _mean(problem: Problem, name: Budget) -> Amounts:
    """What a layer adds in a scheme, in the mean of the sums of a budget."""
    rows = [row for row in problem.rows if row.budget == name]
    return {
        choices.layer: {o.scheme: fmean(row.amount(choices.layer, o.scheme) for row in rows) for o in choices.options}
        for choices in problem.choices
    }


def _rates(problem: Problem, amounts: Amounts) -> tuple[float, float]:
    """Well below the least loss that one unit saves anywhere, and above the largest; zeros where none saves any."""
    found = [rate for choices in problem.choices for rate in _saved(choices, amounts[choices.layer])]
    return (min(found) / BELOW, max(found) * ABOVE) if found else (0.0, 0.0)


def _saved(choices: Choices, amounts: Mapping[str, float]) -> Iterator[float]:
    """The loss that a unit saves from each option to the next one that loses less."""
    ordered = sorted(choices.options, key=lambda option: (amounts[option.scheme], option.loss))
    for one, two in pairwise(ordered):
        more, less = amounts[two.scheme] - amounts[one.scheme], one.loss - two.loss
        if more > 0 and less > 0:
            yield less / more


def _cheapest(choices: Choices, axes: Sequence[Amounts], prices: Any) -> Any:
    """Of each row of `prices`: the place of the option of least loss and prices together."""
    import numpy as np

    amounts = np.array([[each[choices.layer][option.scheme] for option in choices.options] for each in axes])
    return (np.array([option.loss for option in choices.options]) + prices[:, : len(axes)] @ amounts).argmin(axis=1)


def _halton(step: int, base: int) -> float:
    """The number in 0…1 whose digits are those of `step`, reversed."""
    value, part = 0.0, 1.0
    while step:
        part /= base
        step, digit = divmod(step, base)
        value += digit * part
    return value
