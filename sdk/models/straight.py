"""Straight-through estimators as what they compute: `x + (q - x).detach()` is q, and only its gradient is that of x."""

from __future__ import annotations

from typing import Any


def plain_estimators(module: Any) -> None:
    """Write `x + (q - x)` and `x - (x - q)` as q: to rounding the same, and the zero gradient of q is seen as such."""
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in (aten.add.Tensor, aten.sub.Tensor) or node.kwargs:
            continue
        left, right = node.args
        pairs = [(left, right)] if node.target is aten.sub.Tensor else [(left, right), (right, left)]
        for value, change in pairs:
            if getattr(change, "target", None) is not aten.sub.Tensor or change.kwargs:
                continue
            new, old = change.args if node.target is aten.add.Tensor else change.args[::-1]
            if old is value and getattr(new, "meta", {}).get("val") is not None and _alike(new, node):
                node.replace_all_uses_with(new)
                module.graph.erase_node(node)
                break


def _alike(one: Any, other: Any) -> bool:
    a, b = one.meta["val"], other.meta["val"]
    return bool(a.shape == b.shape and a.dtype == b.dtype)
