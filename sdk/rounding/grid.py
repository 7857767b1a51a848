"""A quantized weight: the exact codes, scales and tables that a target has to store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdk.schemes import Scheme

CHUNK = 1 << 18
"""Codes of a palette that are looked up at once: their indices take eight bytes each."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One weight on the grid of its scheme.

    `codes` (int8 for int, uint8 for lut) has the weight's own shape; symmetric int codes lie in
    [-(2^(bits-1)-1), 2^(bits-1)-1]. For int schemes `scale` (float32) is [channels, groups] over the weight with its channel axis
    moved to the front and the rest flattened (per channel: one group; per tensor: [1, 1]) and `zero_point`
    is all zero for symmetric schemes (None). For palettes `table` (float32, values exact in float16) is
    [tables, 2^bits], table t serving `group` consecutive output channels, and `scale` is None, [channels, 1] or, for schemes
    with a `scale_group`, [channels, groups] (then of either sign); values exact in float16. For float schemes only `value` is
    set. `exact`: the weight lay on this grid already, so that it is stored without loss; only such codes may be the least
    integer of `sdk.rounding.lattice`.
    """

    scheme: Scheme
    shape: tuple[int, ...]
    channel_axis: int
    codes: Any = None
    scale: Any = None
    zero_point: Any = None
    table: Any = None
    value: Any = None
    exact: bool = False

    def dequantize(self) -> Any:
        """Return the weight (float32, original shape) that the codes stand for."""
        import torch

        if self.scheme.format == "float":
            return self.value
        rows = self.codes.movedim(self.channel_axis, 0)
        moved, flat = rows.shape, rows.reshape(rows.shape[0], -1)
        if self.scheme.format == "lut":
            out = torch.empty(flat.shape)
            step = max(1, CHUNK // max(1, flat.shape[1]))
            for start in range(0, flat.shape[0], step):
                out[start : start + step] = self._looked_up(flat, start, min(flat.shape[0], start + step))
        else:
            blocks = flat.float().reshape(flat.shape[0], self.scale.shape[1], -1)
            scale = self.scale.expand(flat.shape[0], -1).unsqueeze(-1)
            out = blocks.mul_(scale).reshape(flat.shape)
        return out.reshape(moved).movedim(0, self.channel_axis).contiguous()

    def _looked_up(self, flat: Any, start: int, stop: int) -> Any:
        """Values of the channels from `start` to `stop` of a palette's codes [channels, rest]."""
        import torch

        tables = torch.arange(start, stop) // (flat.shape[0] // self.table.shape[0])
        values = torch.gather(self.table[tables], 1, flat[start:stop].long())
        if self.scale is None:
            return values
        blocks = values.reshape(stop - start, self.scale.shape[1], -1)
        return (blocks * self.scale[start:stop].unsqueeze(2)).reshape(values.shape)
