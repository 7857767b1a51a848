"""How long the rest of a sweep takes, from what its finished tasks took; nothing is said before one is finished."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean

from sdk.sweep.work import Done, Task


class Estimate:
    """Seconds of cells by model, target and whether they had to be lowered.

    Cells that share a plan count as one that is lowered and others that are copied, which is far quicker.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str, str], list[float]] = {}

    def learn(self, task: Task, done: Done) -> None:
        """Note what each cell of a finished task took."""
        for key, seconds in zip(_keys(task), done.seconds, strict=True):
            self._seconds.setdefault(key, []).append(seconds)

    def left(self, tasks: Iterable[Task], workers: int) -> float | None:
        """Seconds until `tasks` (waiting or running) are done by so many workers; None while there is nothing to go by."""
        expected = []
        for task in tasks:
            found = [self._expected(key) for key in _keys(task)]
            if any(each is None for each in found):
                return None
            expected.append(sum(each for each in found if each is not None))
        if not expected:
            return 0.0
        return max(sum(expected) / min(workers, len(expected)), max(expected))

    def _expected(self, key: tuple[str, str, str]) -> float | None:
        """The mean of the nearest cells that were measured: same model and target, else same target, else same step."""
        name, target, step = key
        nearest = ((name, target, step), ("", target, step), (name, "", step), ("", "", step))
        for wanted in nearest:
            found = [each for k, values in self._seconds.items() if _fits(k, wanted) for each in values]
            if found:
                return mean(found)
        return None


def _fits(key: tuple[str, str, str], wanted: tuple[str, str, str]) -> bool:
    return all(want in ("", here) for here, want in zip(key, wanted, strict=True))


def _keys(task: Task) -> list[tuple[str, str, str]]:
    first, other = ("load", "plan") if task.kind == "survey" else ("lower" if task.fresh else "copy", "copy")
    steps = [first] + [other] * (len(task.cells) - 1)
    return [(cell.subject.name, cell.target, step) for cell, step in zip(task.cells, steps, strict=True)]
