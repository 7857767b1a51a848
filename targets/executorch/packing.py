"""How the formats of ExecuTorch lay out codes and scales in bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sdk.lowering.types import Quantized
from sdk.rounding import Grid


def stored_scale(grid: Grid) -> Any:
    """The scales as the runtime reads them, float32 [channels, groups], or [channels] when there are no groups.

    XNNPACK keeps the scales of groups in bfloat16.
    """
    import torch

    scale = grid.scale.float()
    if grid.scheme.granularity == "group" and grid.scheme.activations == "dynamic":
        scale = scale.to(torch.bfloat16).float()
    return (scale.reshape(-1) if grid.scheme.granularity == "channel" else scale).contiguous()


def pack_embedding(grid: Grid) -> Any:
    """Pack a table's codes for the quantized lookup: 8 bit as they are, 4 bit high nibble first, 2 bit low first."""
    import torch

    codes, bits = grid.codes, grid.scheme.bits
    if bits == 8:
        return codes.contiguous()
    per = 8 // bits
    shifted = (codes.to(torch.int16) + 2 ** (bits - 1)).reshape(codes.shape[0], -1, per)
    shifts = torch.tensor([4, 0] if bits == 4 else [0, 2, 4, 6], dtype=torch.int16)
    return (shifted << shifts).sum(-1).to(torch.uint8)


def unpack_codes(data: Any, bits: int) -> Any:
    """Return the signed codes (int8, flat, in no particular order within a byte) of packed uint8 `data`."""
    import numpy as np

    parts = [(data >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    return np.concatenate(parts).astype(np.int8) - np.int8(2 ** (bits - 1))


def as_stored(quantized: Quantized) -> Quantized:
    """Return the quantized model with every scale as the file stores it."""
    grids = {name: tuple(map(_grid_as_stored, grids)) for name, grids in quantized.grids.items()}
    return replace(quantized, grids=grids)


def _grid_as_stored(grid: Grid) -> Grid:
    if grid.scale is None:
        return grid
    return replace(grid, scale=stored_scale(grid).reshape(grid.scale.shape))
