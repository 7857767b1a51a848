"""Memory that was freed goes back to the system, not into tensors of other sizes that do not fit."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD, LARGE = -3, -1, 1 << 19
"""glibc's options (`malloc.h`) for the size of a block from which on it is mapped for itself, and for the free end of the heap
that is given back; the bytes that both are set to."""


def give_back() -> None:
    """Return what nobody uses: free pages of the C library's heap (`malloc_trim` of glibc), which grows beside them else, and
    what MKL packed matrices into (`mkl_free_buffers`), where torch was built with it."""
    if sys.platform == "linux":
        free = _mkl() if "torch" in sys.modules else None
        if free is not None:
            free()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


@cache
def _mkl() -> Any:
    """`mkl_free_buffers` by the name that torch's library has it under, or None."""
    import torch

    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    return getattr(ctypes.CDLL(str(library)), "mkl_serv_free_buffers", None) if library.exists() else None


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
