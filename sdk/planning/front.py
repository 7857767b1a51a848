"""The Pareto front of a model: the least loss at each of a range of sizes, by re-solving."""

from __future__ import annotations

from dataclasses import dataclass

from sdk.planning.options import Problem
from sdk.planning.solve import within_size


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """Bytes of the finished file, the least loss in that many bytes, and the price of a byte there."""

    bytes: int
    loss: float
    price: float


def front(problem: Problem, points: int = 24) -> tuple[FrontPoint, ...]:
    """Return at most `points` optimal plans' sizes and losses, bytes rising and loss falling.

    Sizes are spread by equal factors between the smallest file and the least lossy one, so that both
    ends are as dense as people read them; the two ends are always there.
    """
    smallest = problem.base + sum(choices.front[0].bytes for choices in problem.choices)
    largest = problem.base + sum(choices.front[-1].bytes for choices in problem.choices)
    found: list[FrontPoint] = []
    for size in _sizes(smallest, largest, points):
        solution = within_size(problem, size)
        if solution is not None and (not found or solution.loss < found[-1].loss):
            found.append(FrontPoint(solution.bytes, solution.loss, solution.price))
    return tuple(found)


def _sizes(smallest: int, largest: int, points: int) -> list[int]:
    if largest <= smallest or points < 2:
        return [largest]
    ratio = (largest / max(smallest, 1)) ** (1 / (points - 1))
    middle = {min(max(round(smallest * ratio**step), smallest), largest) for step in range(points)}
    return sorted(middle | {smallest, largest})
