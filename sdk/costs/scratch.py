"""What kernels outside of the accelerated parts take besides their tensors while they run.

LiteRT's own float kernels multiply with Eigen where they are built for x86; ARM builds take ruy, which nobody measured here.
"""

from __future__ import annotations

from sdk.costs.transfer import THREADS
from sdk.models import Layer

PANEL = 512
"""Inner elements that a product of matrices packs at once, found by measuring products of 384 to 4096 of them."""
HIGH, WIDE, DEPTH = 8, 4, 320
"""Rows and columns of the kernel's tile, inner elements that it takes at once (Eigen, `GeneralBlockPanelKernel.h`, SSE)."""
FIRST, SECOND = 49_152, 2 << 20
"""Bytes of the caches of the machine that was measured."""
TASK, START, THREAD, STORE = 40_000, 100_000, 100_000, 4 * 11 / 64
"""Cycles of a task, of starting at all, of each thread, and of storing one result (Eigen, `TensorCostModel.h`)."""
SHARE = 8
"""Tasks of each thread from which on these pack what they work on for themselves."""


def scratch(layer: Layer, kernel: str, dilated: bool = False) -> int:
    """Return the bytes of a `kernel`: a `product` of matrices, a `contraction` over the patches of a convolution, or none.

    The contraction takes no `dilated` convolution, whose patches are all written out (LiteRT, `conv.cc`).
    """
    rows = layer.shape[layer.channel_axis]
    inner, columns = layer.parameters // rows, layer.macs // layer.parameters
    if dilated and kernel == "contraction":
        return 4 * inner * columns
    return {"product": _product, "contraction": _contraction}[kernel](rows, columns, inner) if kernel else 0


def _product(rows: int, columns: int, inner: int) -> int:
    """One packed panel; a product with a vector needs none, and short rows are packed a part at a time."""
    if columns == 1:
        return 0
    return 4 * PANEL * rows if inner > PANEL else 4 * inner * min(rows, PANEL)


def _contraction(rows: int, columns: int, inner: int) -> int:
    """What is written of the packed slices of both operands, two at a time (Eigen, `TensorContractionThreadPool.h`).

    Where there are enough tasks for all threads each packs the columns that it works on in a room of its own.
    """
    deep, held = min(inner, DEPTH), min(inner, 2 * DEPTH)
    high = min(rows, _whole(-(-rows // THREADS), HIGH))
    fits = (SECOND - FIRST) // (4 * WIDE * deep)
    each = -(-columns // THREADS)
    wide = fits - fits % WIDE if fits <= each else min(columns, _whole(each, WIDE))
    blocks, cycles = -(-columns // wide), deep / WIDE + STORE
    grain = _grain(high * wide * cycles, blocks)
    if rows * columns * cycles > START + THREAD and -(-blocks // grain) >= SHARE * THREADS:
        return 4 * (held * rows + deep * THREADS * grain * wide)
    return 4 * held * (rows + columns)


def _grain(cycles: float, blocks: int) -> int:
    """Blocks of a task: as many as stay below twice its cycles."""
    return max(1, min(blocks, int(2 * TASK / cycles)))


def _whole(size: int, step: int) -> int:
    return -(-size // step) * step
