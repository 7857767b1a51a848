"""Memory that was freed goes back to the system, not into tensors of other sizes that do not fit."""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD, LARGE = -3, -1, 1 << 19
"""glibc's options (`malloc.h`) for the size of a block from which on it is mapped for itself, and for the free end of the heap
that is given back; the bytes that both are set to."""


def give_back() -> None:
    """Return free pages of the C library's heap, where it can (`malloc_trim` of glibc): it keeps them, and grows beside them."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def give_back_large_blocks() -> None:
    """From now on have freed blocks of half a MB and more given back at once: bytes of a file, logits, moments of a layer.

    glibc else keeps as many as the largest one that it ever freed, of the logits by chance none or six, and grows beside those
    that the next block does not fit into. Touching new pages makes a model's pass over images a tenth slower.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if change is not None:
        change(MMAP_THRESHOLD, LARGE)
        change(TRIM_THRESHOLD, LARGE)
        give_back()
