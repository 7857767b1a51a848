"""The Pareto front of a model: the least loss at each of a range of sizes, all from one scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sdk.planning.options import Problem
from sdk.planning.relax import Group, steps, total
from sdk.planning.ties import joined
from sdk.sensitivity import Response

POINTS = 32
"""Points of a front that people read, draw and keep."""

USABLE = 1.0
"""Loss above which a model is of no use, in every loss (nats, 1 - cosine, relative error): no knee lies there."""


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """Bytes of the finished file, the least loss in that many bytes, and the loss that the next bytes save each."""

    bytes: int
    loss: float
    price: float


def front(problem: Problem, points: int = POINTS) -> tuple[FrontPoint, ...]:
    """Return at most `points` optimal plans' sizes and losses, bytes rising and loss falling.

    Every point is the exact optimum for its own size: they are the corners of the front's lower convex hull,
    where relaxing the size into a price leaves no gap (Everett 1963), found by taking the layers' own hull steps
    in the order of the loss that each saves per byte. Between two corners lie plans that differ in one layer;
    `solve` finds those. Where there are more corners than `points`, sizes are spread by equal factors, so that
    both ends are as dense as people read them; the two ends are always there.
    """
    ordered = sorted(joined(problem).choices, key=lambda choices: choices.layer)
    groups: list[Group] = [[(option.loss, float(option.bytes)) for option in choices.front] for choices in ordered]
    corners = steps(groups)
    sizes = [problem.base + sum(choices.front[0].bytes for choices in ordered)]
    for _, number, a, b in corners:
        sizes.append(sizes[-1] + int(groups[number][b][1] - groups[number][a][1]))
    taken = range(len(sizes)) if len(sizes) <= points else _spread(sizes, points)
    return _falling(groups, corners, sizes, taken, problem.response)


class Lossy(Protocol):
    """A plan with a loss."""

    @property
    def loss(self) -> float: ...


P = TypeVar("P", bound=Lossy)


def knee(points: Sequence[P], at: Callable[[P], float]) -> P | None:
    """Return the point of most return: below it bytes (or ms) save much loss, above it little; None for less than three.

    `at` is a point's place on the axis. Kneedle (Satopää, Albrecht, Irwin and Raghavan 2011, "Finding a 'Kneedle' in a
    Haystack") over the points whose loss is at most `USABLE`, with the axis and the loss both scaled to 0…1: the point furthest
    below the line between the two ends. A front of sizes is convex, so there is one, and neither smoothing nor a sensitivity is
    needed.
    """
    points = [point for point in points if point.loss <= USABLE]
    if len(points) < 3:
        return None
    first, last = points[0], points[-1]

    def below(point: P) -> float:
        x = (at(point) - at(first)) / (at(last) - at(first))
        y = (point.loss - last.loss) / (first.loss - last.loss)
        return 1.0 - x - y

    return max(points, key=below)


def _spread(sizes: list[int], points: int) -> list[int]:
    """Indices of the last corner within each of `points` sizes that rise by equal factors."""
    from bisect import bisect_right

    ratio = (sizes[-1] / max(sizes[0], 1)) ** (1 / max(points - 1, 1))
    found = {bisect_right(sizes, sizes[0] * ratio**step) - 1 for step in range(1, points - 1)}
    return sorted({0, len(sizes) - 1} | {index for index in found if index > 0})


def _falling(
    groups: list[Group], corners: list[tuple[float, int, int, int]], sizes: list[int], taken: range | list[int],
    response: Response,
) -> tuple[FrontPoint, ...]:
    """Walk the corners' steps and keep the points at the indices `taken`, each strictly better than the one before."""
    picks, wanted = [0] * len(groups), set(taken)
    found: list[FrontPoint] = []
    for index, size in enumerate(sizes):
        if index:
            _, number, _, b = corners[index - 1]
            picks[number] = b
        if index not in wanted:
            continue
        summed = total(groups, picks, 0)
        loss = response.loss(summed)
        if not found or loss < found[-1].loss:
            price = corners[index][0] * response.slope(summed) if index < len(corners) else 0.0
            found.append(FrontPoint(size, loss, price))
    return tuple(found)
