"""Predicts the bytes of a finished .pte: a float program lowered once, and what each scheme changes in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sdk.lowering.types import Prices, Quantized
from sdk.models import Layer, Model
from sdk.schemes import Scheme
from targets.executorch.lowering import ALIGNMENT, lower_program

OVERHEAD = {"dynamic": 392, "static": 690, "float": 60}
"""Bytes of graph and metadata that a scheme adds to a float layer, by its activations (measured with probe.py).

Dynamic: the scales' blob with its two names, one conversion. Static: scales of weight and bias, and on average
half a border of two conversions.
"""


def float_size(model: Model) -> tuple[int, Mapping[str, int]]:
    """Return the size in bytes of the float .pte and of each layer's weight in it."""
    data = lower_program(Quantized(model, {}, {}, {}))
    weights = {layer.name: blob_size(4 * layer.parameters) for layer in model.inventory.layers}
    return len(data), weights


def prices(
    model: Model, choices: Mapping[str, Sequence[Scheme]], size: int, weights: Mapping[str, int]
) -> Prices:
    """Return base and per-layer prices; a float layer costs its weight, everything else of it is in the base."""
    layers = {
        layer.name: {s.name: layer_price(layer, s) for s in choices[layer.name]}
        for layer in model.inventory.layers
        if layer.name in choices
    }
    return Prices(size - sum(weights[name] for name in layers), layers)


def layer_price(layer: Layer, scheme: Scheme) -> int:
    """Bytes of one layer's weight under `scheme`, with what the scheme adds to the graph."""
    if scheme.format == "float":
        return blob_size(4 * layer.parameters)
    channels = layer.shape[layer.channel_axis]
    inputs = layer.parameters // channels
    codes = blob_size(channels * math.ceil(inputs * scheme.bits / 8))
    grouped = scheme.granularity == "group"
    scales = channels * (inputs // scheme.group if grouped else 1)
    stored = blob_size(scales * (2 if grouped and scheme.activations == "dynamic" else 4))
    if scheme.activations == "static" and layer.bias:
        stored *= 2
    return codes + stored + OVERHEAD[scheme.activations]


def blob_size(size: int) -> int:
    """Bytes that a blob of `size` takes in the file."""
    return -(-size // ALIGNMENT) * ALIGNMENT
