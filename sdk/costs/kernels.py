"""Which kernel of a runtime computes a layer, and the weights that it packs."""

from __future__ import annotations

import math

from sdk.costs.nodes import TILE
from sdk.models import Layer, Model

FULL = 25
"""Elements of the largest depthwise kernels of XNNPACK."""


def padded(layer: Layer, deep: int) -> float:
    """Weights of a layer as kernels pack them: channels in of each tap and group in multiples of `deep`, channels out of TILE."""
    if not deep or layer.kind == "depthwise" or layer.kind.startswith("conv_transpose") or len(layer.shape) < 2:
        return layer.parameters
    taken, made = layer.shape[1], layer.shape[0] // layer.groups
    if taken == made == 1 < layer.groups:
        return layer.parameters  # a depthwise kernel of XNNPACK, whatever the layer is called
    return layer.parameters * (-(-taken // deep) * deep / taken) * (-(-made // TILE) * TILE / made)


def dilated(model: Model, layer: Layer) -> bool:
    """Whether a convolution leaves out places between those that it reads."""
    node = next(n for n in model.program.graph.nodes if n.name == layer.fused[0])
    return len(node.args) > 5 and set(node.args[5]) != {1}


def kernel_kind(layer: Layer) -> str:
    """Name the kernels of a layer: its kind, or what is packed in another way.

    `pointwise` and `pointwise1d` are convolutions of one element in one group; `depthwise_large` has more elements than
    XNNPACK's depthwise kernels take (25), so that a general kernel pads each channel to a whole tile.
    """
    alone = layer.kind == "depthwise" or (layer.kind == "conv1d" and layer.shape[0] == layer.groups > 1)
    if alone and math.prod(layer.shape[2:]) > FULL:
        return "depthwise_large"
    pointwise = layer.kind in ("conv1d", "conv2d") and math.prod(layer.shape[2:]) == 1 and layer.groups == 1
    return {"conv1d": "pointwise1d", "conv2d": "pointwise"}[layer.kind] if pointwise else layer.kind
