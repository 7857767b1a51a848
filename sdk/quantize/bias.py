"""Weight scales under which a bias fits: static 8-bit kernels add it as an int32, in steps of input scale times weight scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sdk.lowering.types import Range
from sdk.models import Model
from sdk.rounding import Grid

ROOM = 2.0**30
"""Steps that a bias may have: half of what an int32 holds, the other half is for the products."""


def room_for_biases(
    model: Model, grids: Mapping[str, tuple[Grid, ...]], ranges: Mapping[str, Range]
) -> dict[str, tuple[Grid, ...]]:
    """Return the grids by layer, the scales of a static layer's channels raised whose bias would have more than ROOM steps.

    Such channels have weights of next to nothing (a channel that died in training, whose batch norm was folded): the bias is what
    they put out, and a kernel would cut it off. Their codes are rounded anew.
    """
    from sdk.models.rewrite import attribute

    found, biased = dict(grids), [layer for layer in model.inventory.layers if layer.bias is not None and layer.input in ranges]
    static = [layer for layer in biased if grids.get(layer.name) and grids[layer.name][0].scheme.activations == "static"]
    module = model.module() if static else None
    for layer in static:
        first, *others = grids[layer.name]
        bias = attribute(module, str(layer.bias)).detach().abs().flatten()
        found[layer.name] = _room(first, bias, ranges[layer.input].scale), *others
    return found


def _room(grid: Grid, bias: Any, step: float) -> Grid:
    """The grid of a weight beside a `bias` (absolute, of all channels) whose input has this `step`."""
    channels = grid.shape[grid.channel_axis]
    if grid.scale is None or grid.scale.shape[1] != 1 or bias.numel() % channels:
        return grid
    least = bias.reshape(-1, channels).amax(0, keepdim=True).T / (ROOM * step)
    least = least.amax(0, keepdim=True) if grid.scale.shape[0] == 1 else least
    if bool((grid.scale >= least).all()):
        return grid
    scale = grid.scale.maximum(least)
    most = 2 ** (grid.scheme.bits - 1) - 1
    rows = grid.dequantize().movedim(grid.channel_axis, 0)
    codes = (rows.reshape(rows.shape[0], -1) / scale).round().clamp(-most, most).reshape(rows.shape)
    codes = codes.movedim(0, grid.channel_axis).to(grid.codes.dtype).contiguous()
    return replace(grid, codes=codes, scale=scale, exact=False)
