"""One weight of two layers: rounded once where both have the same grid, so that a file can hold it once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sdk.lowering.types import Quantized
from sdk.models import Model
from sdk.sensitivity.errors import grid_key


def tied_layers(model: Model) -> Iterator[tuple[str, str]]:
    """Yield (earlier layer, later layer) of a language model that hold one weight."""
    owners: dict[str, str] = {}
    for layer in model.inventory.layers if model.language is not None else ():
        first = next((owners[name] for name in layer.tied if name in owners), None)
        if first is not None:
            yield first, layer.name
        owners[layer.weights[0]] = layer.name


def tie(quantized: Quantized) -> Quantized:
    """Return `quantized` with the head's codes, scales and tables for a tied embedding on the same grid too.

    They were rounded to what the head reads, which loses more than a lookup.
    """
    grids, schemes = dict(quantized.grids), quantized.schemes
    for first, later in tied_layers(quantized.model):
        if first in grids and later in grids and grid_key(schemes[first]) == grid_key(schemes[later]):
            grids[first] = tuple(replace(grid, scheme=schemes[first]) for grid in grids[later])
    return replace(quantized, grids=grids)
