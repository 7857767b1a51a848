"""The exact choice of at most k variants for all rows of a price table (HiGHS), and what each further one would buy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_SCALE = 1e3
"""The largest difference of prices counts this much: the solver stops within 1e-6, so within 1e-9 of that difference."""

_EQUAL = 1e-9
"""Relative difference of two prices that counts as none."""

Prices = Sequence[Mapping[int, float]]
"""Per row (a device, or devices that look alike): candidate → price; a candidate that does not fit the row is absent."""


@dataclass(frozen=True, slots=True)
class Cover:
    """One candidate for every row, in the order of the rows, and the summed `price`."""

    picks: tuple[int, ...]
    price: float

    @property
    def chosen(self) -> tuple[int, ...]:
        """The candidates that are picked, rising."""
        return tuple(sorted(set(self.picks)))


def cover(prices: Prices, most: int) -> Cover | None:
    """Return the cheapest cover by at most `most` candidates, or None when there is none.

    Exact to 1e-9 of the largest difference of prices. The same prices give the same cover; of candidates that are
    equal for a row the first is picked.
    """
    columns = sorted({candidate for row in prices for candidate in row})
    if not all(prices) or not columns:
        return None
    if most >= len(columns):
        return _assigned(prices, columns)
    chosen = _solve(prices, columns, most)
    return None if chosen is None else _polished(prices, columns, chosen)


def covers(prices: Prices) -> Iterator[tuple[int, Cover | None]]:
    """Yield (k, the cheapest cover by at most k candidates) for k = 1, 2, … until more would change nothing."""
    best = cover(prices, max((candidate + 1 for row in prices for candidate in row), default=0))
    for most in range(1, len(prices) + 1):
        found = cover(prices, most)
        yield most, found
        if best is None or (found is not None and not cheaper(best.price, found.price)):
            return


def cheaper(one: float, other: float) -> bool:
    """Whether `one` is less than `other` by more than rounding."""
    return one < other - _EQUAL * max(abs(one), abs(other))


def _assigned(prices: Prices, chosen: Sequence[int]) -> Cover | None:
    allowed = set(chosen)
    picks = []
    for row in prices:
        fitting = [candidate for candidate in sorted(row) if candidate in allowed]
        if not fitting:
            return None
        picks.append(min(fitting, key=lambda candidate: row[candidate]))
    return Cover(tuple(picks), math.fsum(row[pick] for row, pick in zip(prices, picks, strict=True)))


def _polished(prices: Prices, columns: Sequence[int], chosen: Sequence[int]) -> Cover | None:
    """Exchange single candidates while that is cheaper: what lies within the solver's tolerance, in exact sums."""
    best = _assigned(prices, chosen)
    while best is not None:
        kept = best.chosen
        others = [{*kept} - {out} | {into} for out in kept for into in columns if into not in kept]
        found = [each for each in (_assigned(prices, sorted(other)) for other in others) if each is not None]
        better = min(found, key=lambda each: each.price, default=best)
        if better.price >= best.price:
            return best
        best = better
    return None


def _solve(prices: Prices, columns: Sequence[int], most: int) -> list[int] | None:
    """Which candidates to open: one variable per candidate, one per (row, candidate)."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    from sdk.planning.hush import hushed

    place = {candidate: number for number, candidate in enumerate(columns)}
    pairs = [(r, place[c]) for r, row in enumerate(prices) for c in sorted(row)]
    regret = [prices[r][columns[c]] - min(prices[r].values()) for r, c in pairs]
    unit = max(regret) / _SCALE or 1.0
    costs = np.array([0.0] * len(columns) + [each / unit for each in regret])
    with hushed():
        answer = milp(
            costs,
            constraints=[LinearConstraint(*each) for each in _constraints(pairs, len(columns), len(prices), most)],
            integrality=np.array([1] * len(columns) + [0] * len(pairs)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
    if answer.x is None:
        return None
    return [candidate for candidate, open_ in zip(columns, answer.x, strict=False) if open_ > 0.5]


def _constraints(pairs: Sequence[tuple[int, int]], columns: int, rows: int, most: int) -> list[tuple[object, float, float]]:
    """Every row once; only open candidates; at most `most` of them."""
    import numpy as np
    from scipy.sparse import csr_array

    width = columns + len(pairs)
    numbers = range(len(pairs))
    once = csr_array(([1.0] * len(pairs), ([r for r, _ in pairs], [columns + n for n in numbers])), shape=(rows, width))
    needs = [index for n in numbers for index in (columns + n, pairs[n][1])]
    opened = csr_array(([1.0, -1.0] * len(pairs), ([n for n in numbers for _ in (0, 1)], needs)), shape=(len(pairs), width))
    few = csr_array(([1.0] * columns, ([0] * columns, range(columns))), shape=(1, width))
    return [(once, 1, 1), (opened, -np.inf, 0), (few, 0, most)]
