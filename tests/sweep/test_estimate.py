"""The estimate of the time left: silent until something was measured, then close to what a schedule takes."""

from __future__ import annotations

import heapq
import random

from sdk.sweep.cells import Cell, Subject
from sdk.sweep.estimate import Estimate
from sdk.sweep.spec import SweepBudget
from sdk.sweep.work import Done, Task


def task(model: str, copies: int, fresh: bool = True) -> Task:
    cell = Cell("cell", Subject(model, "model.py:net"), "host", "null", SweepBudget(uniform="q8"))
    return Task("build", (cell,) * (1 + copies), ".", ".", fresh)


def test_nothing_is_said_before_something_was_measured() -> None:
    assert Estimate().left([task("a", 1)], 2) is None
    assert Estimate().left([], 2) == 0


def test_copies_do_not_count_as_lowerings() -> None:
    estimate = Estimate()
    estimate.learn(task("a", 3), Done((), (60.0, 1.0, 1.0, 1.0), 0))
    assert estimate.left([task("a", 7)], 1) == 67
    assert estimate.left([task("a", 7, fresh=False)], 1) == 8
    assert estimate.left([task("b", 0)] * 4, 2) == 120, "a model not seen yet takes what others took"


def test_half_way_the_estimate_is_within_a_quarter_of_the_truth() -> None:
    random.seed(0)
    durations = {"a": 20.0, "b": 60.0}
    tasks = [task(random.choice("ab"), random.randrange(4)) for _ in range(40)]
    seconds = [[random.gauss(durations[t.cells[0].subject.name], 3), *[0.5] * (len(t.cells) - 1)] for t in tasks]
    estimate = Estimate()
    for each, took in zip(tasks[:20], seconds[:20], strict=True):
        estimate.learn(each, Done((), tuple(took), 0))
    free = [0.0, 0.0]
    for took in seconds[20:]:
        heapq.heappush(free, heapq.heappop(free) + sum(took))
    left = estimate.left(tasks[20:], 2)
    assert left is not None and abs(left - max(free)) < 0.25 * max(free)
