"""Gives roots a gradient at zero, where torch's is infinite: a pause in the sound, a black picture."""

from __future__ import annotations

from typing import Any


def finite_slopes(module: Any) -> Any:
    """Return the graph `module`, whose roots (`sqrt`, powers between 0 and 1) now have the gradient 0 at 0, like torch's norms.

    Changed in place; its outputs are the same.
    """
    import torch

    aten = torch.ops.aten
    for node in module.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is aten.sqrt.default:
            node.target, node.args = _root, (node.args[0], 0.5)
        elif node.target is aten.pow.Tensor_Scalar and 0 < node.args[1] < 1:
            node.target = _root
        elif node.target is aten.heaviside.default:
            node.target = _step  # torch has no derivative of it at all
    module.recompile()
    return module


def _root(value: Any, exponent: float) -> Any:
    """`value` to a power between 0 and 1."""
    import torch

    zero = value == 0
    safe = torch.where(zero, torch.ones_like(value), value)
    return torch.where(zero, torch.zeros_like(value), safe.sqrt() if exponent == 0.5 else safe.pow(exponent))


def _step(value: Any, at_zero: Any) -> Any:
    import torch

    return torch.heaviside(value.detach(), at_zero.detach())
