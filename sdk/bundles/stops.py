"""Ctrl-C and SIGTERM wait while something is half done, and act in the parts that may be left at any moment."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_STOPS = (signal.SIGTERM, signal.SIGINT)


class Stops:
    """Decides whether a stop waits (`held`) or goes to the handler that was there before.

    A stop that goes on holds those that follow, so what cleans up after it is never interrupted, not even between the
    end of the part that may be left and the first line of the cleaning.
    """

    def __init__(self) -> None:
        self.held = False
        self._before = {each: signal.getsignal(each) for each in _STOPS}
        self._waiting: list[int] = []

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let stops act during the block, one that waited at once."""
        self.held = False
        try:
            if self._waiting:
                self._take(self._waiting.pop(), None)
            yield
        finally:
            self.held = True

    def _take(self, number: int, frame: FrameType | None) -> None:
        before = self._before[signal.Signals(number)]
        if self.held:
            self._waiting.append(number)
        elif callable(before):
            self.held = True
            before(number, frame)
        elif before != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    @contextlib.contextmanager
    def _installed(self) -> Iterator[None]:
        try:
            for each in _STOPS:
                signal.signal(each, self._take)
            self.held = True
            yield
        finally:
            for each, handler in self._before.items():
                signal.signal(each, signal.SIG_DFL if handler is None else handler)
            if self._waiting:
                signal.raise_signal(self._waiting[0])


@contextlib.contextmanager
def held_stops() -> Iterator[Stops]:
    """Hold stops during the block, except where it says `allowed`; one that waited acts at the end.

    Only the main thread is given signals: elsewhere nothing is held.
    """
    stops = Stops()
    if threading.current_thread() is threading.main_thread():
        with stops._installed():
            yield stops
    else:
        yield stops
