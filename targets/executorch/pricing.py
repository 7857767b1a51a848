"""Predicts the bytes of a finished .pte: a float program lowered once, and what each scheme changes in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sdk.lowering.types import Prices, Quantized
from sdk.models import Layer, Model
from sdk.quantize.tied import tied_layers
from sdk.schemes import Scheme
from targets.executorch.lowering import ALIGNMENT, lower_program
from targets.executorch.sites import fingerprint

OVERHEAD = {"dynamic": 425, "static": 552, "float": 60}
"""Bytes of graph and names that a scheme adds to a float layer, by its activations, without borders.

Dynamic: the scales' blob with its two names, one conversion. Static: scales of the weight and of the bias.
"""

OPERATOR = 250
"""Bytes that one operator of a language model's graph takes in the file (measured: 248 to 252)."""

CONVERSION = 122
"""Bytes of one conversion between float and int8, at a border of a static layer."""

LIKELY = 0.3
"""Conversions to expect between two layers that could both be static: few plans split all such pairs."""


def float_size(model: Model) -> tuple[int, Mapping[str, int]]:
    """Return the size in bytes of the float .pte and of each layer's weight in it.

    The file holds equal float weights once (layers that were copied): the first one pays, the others have 0 bytes. Those of
    embeddings, which stay outside of the delegates, are kept apart from those inside.
    """
    if model.language is not None:
        return _language_size(model)
    data = lower_program(Quantized(model, {}, {}, {}))
    module = model.module()
    weights: dict[str, int] = {}
    seen: set[tuple[bool, tuple[str, ...]]] = set()
    for layer in model.inventory.layers:
        prints = tuple(fingerprint(module.get_parameter(name).detach().numpy()) for name in layer.weights)
        stored = layer.kind == "embedding", prints
        weights[layer.name] = 0 if stored in seen else blob_size(4 * layer.parameters)
        seen.add(stored)
    return len(data), weights


def _language_size(model: Model) -> tuple[int, Mapping[str, int]]:
    """The same for a language model, whose float program takes minutes to lower: its operators, counted."""
    weights = {layer.name: blob_size(4 * layer.parameters) for layer in model.inventory.layers}
    operators = sum(node.op == "call_function" for node in model.program.graph.nodes)
    uncovered = sum(blob_size(tensor.bytes) for tensor in model.inventory.uncovered)
    return sum(weights.values()) + uncovered + OPERATOR * operators, weights


def prices(model: Model, choices: Mapping[str, Sequence[Scheme]], size: int, weights: Mapping[str, int]) -> Prices:
    """Return base and per-layer prices; a float layer costs its weight, everything else of it is in the base.

    Copies of one weight are priced one by one: in integers each has codes of its own.
    """
    static = {name for name, each in choices.items() if any(s.activations == "static" for s in each)}
    borders = _borders(model, static)
    layers = {
        layer.name: {s.name: layer_price(layer, s, borders.get(layer.name, 0.0)) for s in choices[layer.name]}
        for layer in model.inventory.layers
        if layer.name in choices
    }
    tied = {
        later: {s.name: blob_size(model.inventory[later].parameters * s.bits // 8) for s in choices[later]}
        for _, later in tied_layers(model) if later in choices
    }
    return Prices(size - sum(weights[name] for name in layers), layers, tied)


def _borders(model: Model, static: set[str]) -> dict[str, float]:
    """Conversions that each layer needs when it is static, its neighbours among `static` being so in most plans."""
    layers = [layer for layer in model.inventory.layers if layer.name in static]
    makers, readers = {layer.output for layer in layers}, {layer.fused[0] for layer in layers}
    users = {node.name: [user.name for user in node.users] for node in model.program.graph.nodes}
    return {
        layer.name: (LIKELY if layer.input in makers else 1.0)
        + sum(LIKELY if user in readers else 1.0 for user in users.get(layer.output, ()))
        for layer in layers
    }


def layer_price(layer: Layer, scheme: Scheme, borders: float = 0.0) -> int:
    """Bytes of one layer's weight under `scheme`, with what the scheme adds to the graph.

    `borders` counts the conversions around a static layer.
    """
    if scheme.format == "float":
        return blob_size(4 * layer.parameters)
    channels = layer.shape[layer.channel_axis]
    inputs = layer.parameters // channels
    codes = blob_size(channels * math.ceil(inputs * scheme.bits / 8))
    grouped = scheme.granularity == "group"
    scales = channels * (inputs // scheme.group if grouped else 1)
    half = layer.kind == "embedding" or (grouped and scheme.activations == "dynamic")
    stored = blob_size(scales * (2 if half else 4))
    extra = OVERHEAD[scheme.activations]
    if scheme.activations == "static":
        stored *= 2 if layer.bias else 1
        extra += round(CONVERSION * borders)
    return codes + stored + extra


def blob_size(size: int) -> int:
    """Bytes that a blob of `size` takes in the file."""
    return -(-size // ALIGNMENT) * ALIGNMENT
