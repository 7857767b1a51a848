"""How much memory a task needs, learnt from those that were done, and whether there is so much."""

from __future__ import annotations

from sdk.sweep.work import Task

UNKNOWN = 2_000_000_000
"""Bytes to expect of a worker whose model was not seen yet: torch, a toolchain and a small model."""

SPARE = 0.9
"""Share of the free memory that workers may take."""


class Memory:
    """Peak bytes of a worker by model and kind of task."""

    def __init__(self) -> None:
        self._peaks: dict[tuple[str, str], int] = {}

    def workers(self, most: int) -> int:
        """How many workers to start at most: one per processor, as far as free memory goes, at least one."""
        return max(1, min(most, int(_available() * SPARE) // UNKNOWN))

    def learn(self, task: Task, peak: int) -> None:
        """Note the peak of a worker that did `task`."""
        key = task.cells[0].subject.name, task.kind
        self._peaks[key] = max(self._peaks.get(key, 0), peak)

    def has_room(self, task: Task, worker: int | None) -> bool:
        """Whether the memory that is free now suffices for `task` in a new worker, or in the idle one of that process id."""
        name = task.cells[0].subject.name
        known = self._peaks.get((name, task.kind)) or self._peaks.get((name, "survey")) or UNKNOWN
        return known - _held(worker) <= _available() * SPARE


def _held(worker: int | None) -> int:
    import psutil  # type: ignore[import-untyped, unused-ignore]

    try:
        return int(psutil.Process(worker).memory_info().rss) if worker is not None else 0
    except psutil.Error:
        return 0


def _available() -> int:
    import psutil  # type: ignore[import-untyped, unused-ignore]

    return int(psutil.virtual_memory().available)
