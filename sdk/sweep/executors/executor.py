"""What an executor is: something that does tasks on workers, and survives the death of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sdk.sweep.work import Done, Task

TRIES = 3
"""Workers that may die over one task before it is given up."""


class Session(Protocol):
    """Workers that are ready; they keep a loaded model from one call of `run` to the next."""

    workers: int

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Done | None]]:
        """Do the tasks, first things first, and yield each as it is done; None where `TRIES` workers died over it."""
        ...


class Executor(Protocol):
    """A module `sdk.sweep.executors.<name>` exposes it as `EXECUTOR`."""

    name: str

    def check(self, address: str) -> None:
        """Raise Missing, with the command that installs it, when the engine is absent; BadInput for a bad address."""
        ...

    def open(self, address: str, jobs: int | None) -> AbstractContextManager[Session]:
        """Start workers (`jobs`: at most so many) on `address`, the part of `--on` behind `name://`."""
        ...
