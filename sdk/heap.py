"""Memory that was freed goes back to the system, not into tensors of other sizes that do not fit."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Return free pages of the C library's heap, where it can (`malloc_trim` of glibc): it keeps them, and grows beside them."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
