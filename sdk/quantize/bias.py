"""Weight scales under which a bias fits: static 8-bit kernels add it as an int32, in steps of input scale times weight scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sdk.lowering.types import Range
from sdk.models import Layer
from sdk.rounding import Grid

ROOM = 2.0**30
"""Steps that a bias may have: half of what an int32 holds, the other half is for the products."""


def room_for_bias(layer: Layer, grids: tuple[Grid, ...], module: Any, ranges: Mapping[str, Range]) -> tuple[Grid, ...]:
    """Return the grids of a static layer, the scales of channels raised whose bias would have more than ROOM steps.

    Such channels have weights of next to nothing (a channel that died in training, whose batch norm was folded): the bias is what
    they put out, and a kernel would cut it off. Their codes are rounded anew.
    """
    if not grids or layer.bias is None or grids[0].scheme.activations != "static" or layer.input not in ranges:
        return grids
    from sdk.models.rewrite import attribute

    grid, bias = grids[0], attribute(module, layer.bias).detach().abs().flatten()
    channels = grid.shape[grid.channel_axis]
    if grid.scale is None or grid.scale.shape[1] != 1 or bias.numel() % channels:
        return grids
    least = bias.reshape(-1, channels).amax(0, keepdim=True).T / (ROOM * ranges[layer.input].scale)
    least = least.amax(0, keepdim=True) if grid.scale.shape[0] == 1 else least
    if bool((grid.scale >= least).all()):
        return grids
    scale = grid.scale.maximum(least)
    most = 2 ** (grid.scheme.bits - 1) - 1
    rows = grid.dequantize().movedim(grid.channel_axis, 0)
    codes = (rows.reshape(rows.shape[0], -1) / scale).round().clamp(-most, most).reshape(rows.shape)
    codes = codes.movedim(0, grid.channel_axis).to(grid.codes.dtype).contiguous()
    return replace(grid, codes=codes, scale=scale, exact=False), *grids[1:]
