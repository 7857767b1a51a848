"""Slopes below zero in operators that toolchains have."""

from __future__ import annotations

from typing import Any


def plain_slopes(module: Any) -> None:
    """Write `prelu` of vectors ([batch, channels]) as relu(x) + (x - relu(x)) * slope, which is exact, and `rrelu` as what it is
    outside of training: a leaky relu of the mean slope.
    """
    import torch

    from sdk.models.calls import arguments, call_before

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.target is aten.rrelu.default and not (given := arguments(node))["training"]:
            made = call_before(node, aten.leaky_relu.default, given["self"], (given["lower"] + given["upper"]) / 2)
            node.replace_all_uses_with(made)
            module.graph.erase_node(node)
            continue
        if node.op != "call_function" or node.target is not aten.prelu.default or node.meta["val"].dim() != 2:
            continue
        x, slope = node.args
        above = call_before(node, aten.relu.default, x)
        below = call_before(node, aten.mul.Tensor, call_before(node, aten.sub.Tensor, x, above), slope)
        node.replace_all_uses_with(call_before(node, aten.add.Tensor, above, below))
        module.graph.erase_node(node)
