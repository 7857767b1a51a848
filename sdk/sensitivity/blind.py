"""Finds layers that no gradient reaches: what they compute only decides which numbers are taken."""

from __future__ import annotations

from typing import Any

from sdk.models import Model

_STEPS = frozenset(("sign", "sgn", "round", "floor", "ceil", "trunc", "fix", "heaviside", "floor_divide"))
"""Operators on floats whose slope is zero wherever they have one."""


def blind_layers(model: Model) -> frozenset[str]:
    """Return the layers that reach the outputs through choices (`topk`, comparisons) and steps (`sign`, `round`) alone."""
    nodes = list(model.program.graph.nodes)
    seen = {node for node in nodes[-1].all_input_nodes if _floats(node)}
    for node in reversed(nodes):
        if node in seen and getattr(node.target, "__name__", "").partition(".")[0] not in _STEPS:
            seen.update(source for source in node.all_input_nodes if _floats(source))
    names = {node.name for node in seen}
    return frozenset(layer.name for layer in model.inventory.layers if layer.fused[0] not in names)


def _floats(node: Any) -> bool:
    """Whether a node holds floats, or several tensors of which some may."""
    value = node.meta.get("val")
    return not hasattr(value, "dtype") or value.is_floating_point()
