"""Limits are solved once, and not at all where wider ones could not be kept."""

from __future__ import annotations

import pytest

from sdk.pipeline.remembering import Remembering
from sdk.planning import Choices, Infeasible, Limits, Option, Problem, Solution, solve

PROBLEM = Problem(0, (Choices("fc", "linear", (Option("int4", 100, 0.2), Option("int8", 200, 0.1))),))


def test_limits_are_solved_once_and_hopeless_ones_not_at_all() -> None:
    solved: list[Limits] = []

    def run(limits: Limits, objective: str, near: bool) -> Solution:
        solved.append(limits)
        return solve(PROBLEM, limits, objective)

    remembering = Remembering(run)
    assert remembering(Limits(max_size=150), "quality") == remembering(Limits(max_size=150), "quality")
    assert remembering(Limits(max_size=150), "smallest").bytes == 100
    assert solved == [Limits(max_size=150), Limits(max_size=150)]
    with pytest.raises(Infeasible, match="max_size 90 B"):
        remembering(Limits(max_size=90), "quality")
    with pytest.raises(Infeasible) as narrower:
        remembering(Limits(max_size=80, max_loss=1.0), "smallest")
    assert solved[2:] == [Limits(max_size=90)]
    assert "max_size 80 B" in str(narrower.value)  # the offer is of the limits that were asked for


def test_a_near_solution_is_no_exact_one_and_an_exact_one_is_near() -> None:
    asked: list[bool] = []

    def run(limits: Limits, objective: str, near: bool) -> Solution:
        asked.append(near)
        return solve(PROBLEM, limits, objective)

    remembering = Remembering(run)
    for near in (True, True, False, False, True):
        remembering(Limits(max_size=150), "quality", near)
    assert asked == [True, False]
