"""Shows a run's stages on the terminal's error stream; nothing when piped or for `--json`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from sdk.progress import Reporter, SilentReporter


def reporter(as_json: bool, quiet: bool = False) -> Reporter:
    """Return the reporter for this run: bars on a terminal, notes only when piped, nothing for `--json`."""
    if as_json:
        return SilentReporter()
    return TerminalReporter(bars=sys.stderr.isatty() and not quiet)


class TerminalReporter(Reporter):
    """Notes as lines; stages as spinners and bars where there is a terminal."""

    def __init__(self, bars: bool) -> None:
        super().__init__()
        self._bars = bars
        self._open: tuple[Any, Any] | None = None

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Reporter]:
        """Show the stage while it runs, and one line with its seconds when it is done."""
        if not self._bars or self._open is not None:
            yield self
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        started = time.monotonic()
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            self._open = (progress, progress.add_task(name, total=total))
            try:
                yield self
            finally:
                self._open = None
        click.echo(f"  {name}  {time.monotonic() - started:.1f} s", err=True)

    def step(self, text: str = "") -> None:
        """Move the bar of the open stage."""
        if self._open is not None:
            progress, task = self._open
            progress.advance(task)

    def note(self, text: str) -> None:
        """Print the note once."""
        if text not in self.notes:
            super().note(text)
            click.echo(f"note: {text}", err=True)
