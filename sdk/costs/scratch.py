"""What kernels outside of the accelerated parts take besides their tensors while they run.

LiteRT's own float kernels multiply with Eigen where they are built for x86; ARM builds take ruy, which nobody measured here.
"""

from __future__ import annotations

from sdk.models import Layer

DEPTH = 320
"""Inner elements that Eigen packs at once for several threads (`GeneralBlockPanelKernel.h`, `evaluateProductBlockingSizes`)."""
PANEL = 512
"""The same for one thread, found by measuring products of 384 to 4096 inner elements."""
BOTH, MANY, MOST = 1536, 8192, 3_750_000
"""Rows and columns up to which a contraction holds two slices of its operands, then one; columns from which each thread packs
those that it works on, where there is more than one slice; bytes that it was not seen to exceed (measured: 388 to 12,576 rows
and columns; with one slice of 27 elements, 12,544 columns were held whole)."""


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
    """Slices of both operands (Eigen, `TensorContractionThreadPool.h`)."""
    deep = 4 * min(inner, DEPTH)
    if columns > MANY and inner > DEPTH:
        return 2 * deep * rows
    return min(deep * (rows + columns) * (2 if rows + columns <= BOTH else 1), MOST)
