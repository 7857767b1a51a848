"""The model in training: its graph with 8-bit activations simulated where the plan has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdk.lowering import Quantized, Range
from sdk.models import Layer
from sdk.models.layers import end_of
from sdk.sensitivity import finite_slopes, quantize_dynamic, quantize_static


def student(quantized: Quantized) -> Any:
    """Return the model's GraphModule with quantize-dequantize (straight-through) around the planned layers.

    Weights are not replaced: whoever calls it hands them in (`torch.func.functional_call`).
    """
    module = finite_slopes(quantized.model.module())
    layers = {w: layer for layer in quantized.model.inventory.layers for w in layer.weights[:1]}
    for node in list(module.graph.nodes):
        layer = _layer_of(node, layers)
        scheme = quantized.schemes.get(layer.name) if layer is not None else None
        if layer is not None and scheme is not None and scheme.activations != "float":
            _simulate(module.graph, node, layer, scheme.activations, quantized.ranges)
    module.recompile()
    return module


def _layer_of(node: Any, layers: Mapping[str, Layer]) -> Layer | None:
    if node.op != "call_function":
        return None
    found = [layers[arg.target] for arg in node.args[:2] if getattr(arg, "op", None) == "get_attr" and arg.target in layers]
    return found[0] if found else None


def _simulate(graph: Any, node: Any, layer: Layer, activations: str, ranges: Mapping[str, Range]) -> None:
    static = activations == "static"
    with graph.inserting_before(node):
        args = (node.args[0], *_numbers(ranges[layer.input])) if static else (node.args[0], layer.kind == "linear")
        node.update_arg(0, graph.call_function(_static if static else _dynamic, args))
    last = end_of(node)
    if static and layer.output in ranges:
        with graph.inserting_after(last):
            made = graph.call_function(_static, (last, *_numbers(ranges[layer.output])))
        last.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)


def _dynamic(value: Any, per_token: bool) -> Any:
    return value + (quantize_dynamic(value.detach(), per_token) - value.detach())


def _numbers(found: Range) -> tuple[float, int]:
    return found.scale, found.zero_point


def _static(value: Any, scale: float, zero_point: int) -> Any:
    """Beyond the range the gradient is cut off, as the value is."""
    inside = value.clamp((-128 - zero_point) * scale, (127 - zero_point) * scale)
    return inside + (quantize_static(value.detach(), Range(scale, zero_point)) - inside.detach())
