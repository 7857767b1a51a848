"""Solves a problem under many limits, and none of them twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from sdk.planning import Infeasible, Limits, Solution

Run = Callable[[Limits, str, bool], Solution]
"""Solves under limits for the objective of a name, exactly or near the optimum."""


class Remembering:
    """`run`, which knows what it solved, and that nothing keeps limits that are no wider than ones which nothing keeps."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._solved: dict[tuple[Limits, str, bool], Solution] = {}
        self._hopeless: list[Limits] = []

    def __call__(self, limits: Limits, objective: str, near: bool = False) -> Solution:
        """Return the solution, or one `near` it; Infeasible, whose counter-offer is made when it is asked for."""
        if any(_within(limits, hopeless) for hopeless in self._hopeless):
            raise Infeasible(partial(self._offer, limits, objective))
        for exact in (False, near):
            if (limits, objective, exact) in self._solved:
                return self._solved[limits, objective, exact]
        try:
            self._solved[limits, objective, near] = self._run(limits, objective, near)
        except Infeasible:
            self._hopeless.append(limits)
            raise
        return self._solved[limits, objective, near]

    @property
    def found(self) -> list[Solution]:
        """Every solution so far."""
        return list(self._solved.values())

    def _offer(self, limits: Limits, objective: str) -> Any:
        try:
            self._run(limits, objective, True)
        except Infeasible as error:
            return error.offer
        raise AssertionError(f"{limits} can be kept, and wider ones could not")


def _within(limits: Limits, wider: Limits) -> bool:
    """Whether `limits` are nowhere above `wider`."""
    return all(least <= most for least, most in zip(_values(limits), _values(wider), strict=True))


def _values(limits: Limits) -> list[float]:
    given = (limits.max_size, limits.max_loss, limits.max_memory, limits.max_latency)
    return [math.inf if each is None else each for each in given]
