"""Weights that a file may store once: they are trained as one, so that it still can."""

from __future__ import annotations

from sdk.lowering import Quantized
from sdk.rounding import Grid
from sdk.sensitivity.errors import grid_key


def tied(quantized: Quantized) -> dict[str, str]:
    """Return, by name, the earlier weight whose stored values a tied one has too (an embedding's are its head's)."""
    found: dict[str, str] = {}
    stored: dict[str, Grid] = {}
    for layer in quantized.model.inventory.layers:
        for name, grid in zip(layer.weights, quantized.grids.get(layer.name, ()), strict=False):
            first = next((each for each in layer.tied if each in stored and _alike(stored[each], grid)), None)
            if first is None:
                stored[name] = grid
            else:
                found[name] = first
    return found


def _alike(one: Grid, other: Grid) -> bool:
    import torch

    if grid_key(one.scheme) != grid_key(other.scheme):
        return False
    pairs = [(getattr(one, part), getattr(other, part)) for part in ("codes", "scale", "zero_point", "table", "value")]
    return all((a is None and b is None) or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)
