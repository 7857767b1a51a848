"""Keeps a C library's stray prints out of the standard output that machines read."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed() -> Iterator[None]:
    """Discard what native code prints to standard output; Python's own output before and after stays.

    HiGHS 1.x prints a line of its developers' (`transformNewIntegerFeasibleSolution`) that no option
    turns off, and a line more would break `--json`.
    """
    try:
        kept = os.dup(1)
    except OSError:
        yield
        return
    _flush()
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(null)


def _flush() -> None:
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)
