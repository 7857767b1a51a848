"""Which inputs are row numbers of an embedding, and how many rows there are."""

from __future__ import annotations

from typing import Any

from sdk.models.inventory import Layer
from sdk.models.model import Model


def lookups(model: Model) -> dict[str, Layer]:
    """Return by input, whose values reach an embedding as they are, the one with the fewest rows."""
    nodes = {node.name: node for node in model.program.graph.nodes}
    names, found = {spec.name for spec in model.inputs}, dict[str, Layer]()
    for layer in model.inventory.layers:
        if layer.kind != "embedding":
            continue
        for node in _uses(nodes, layer):
            name = _origin(node.args[1]).name
            if name in names and (name not in found or layer.shape[0] < found[name].shape[0]):
                found[name] = layer
    return found


def _uses(nodes: dict[str, Any], layer: Layer) -> list[Any]:
    """Every lookup in the layer's weight."""
    weight = nodes[layer.fused[0]].args[0]
    return [user for user in weight.users if user.target == nodes[layer.fused[0]].target and user.args[0] is weight]


def _origin(node: Any) -> Any:
    """What a value was before it was cast or got another shape."""
    import torch

    aten = torch.ops.aten
    unchanging = {
        aten._to_copy.default, aten.to.dtype, aten.view.default, aten.reshape.default, aten.squeeze.dim, aten.squeeze.dims,
        aten.unsqueeze.default, aten.flatten.using_ints, aten.permute.default, aten.transpose.int, aten.clone.default,
        aten.expand.default,
    }  # fmt: skip
    while node.op == "call_function" and node.target in unchanging:
        node = node.args[0]
    return node
