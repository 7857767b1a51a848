"""How a long stage says where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Reporter:
    """Hears of stages, steps and notes. This one keeps the notes and shows nothing; the CLI draws bars."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Reporter]:
        """Open the stage `name` of `total` steps (None: unknown); it ends with the `with` block."""
        yield self

    def step(self, text: str = "") -> None:
        """One step of the open stage was done; `text` says in a few words what comes next."""

    def note(self, text: str) -> None:
        """Say something that the user has to know even when the run succeeds, once."""
        if text not in self.notes:
            self.notes.append(text)


class SilentReporter(Reporter):
    """Shows nothing: for the Python API and `--json`."""


class Chapter(Reporter):
    """One bundle's part of a longer run: shown by the outer reporter, but its notes are its own."""

    def __init__(self, outer: Reporter) -> None:
        super().__init__()
        self._outer = outer

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Reporter]:
        """Open the stage of the outer reporter."""
        with self._outer.stage(name, total) as stage:
            yield stage

    def step(self, text: str = "") -> None:
        """Step in the outer reporter."""
        self._outer.step(text)

    def note(self, text: str) -> None:
        """Keep the note here and let the outer reporter say it."""
        super().note(text)
        self._outer.note(text)
