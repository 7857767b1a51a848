"""The torch model with the same quantization: what a finished artifact is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.lowering.types import Quantized, Range
from sdk.models import Layer
from sdk.sensitivity.activations import quantize_affine, quantize_dynamic


def reference(quantized: Quantized) -> Callable[..., tuple[Any, ...]]:
    """Return a callable of the model's inputs: dequantized weights, dynamic and static activations simulated.

    A static layer quantizes its input and its output (behind a fused activation function); a dynamic one
    its input, per token for linears and per sample for convolutions.
    """
    import torch

    module = reference_module(quantized)

    def run(*inputs: Any) -> tuple[Any, ...]:
        with torch.no_grad():
            return tuple(module(*inputs))

    return run


def reference_module(quantized: Quantized) -> Any:
    """The GraphModule behind `reference`."""
    module = quantized.model.module()
    layers = {w: layer for layer in quantized.model.inventory.layers for w in layer.weights[:1]}
    for layer in quantized.model.inventory.layers:
        for name, grid in zip(layer.weights, quantized.grids.get(layer.name, ()), strict=False):
            module.get_parameter(name).data = grid.dequantize()
    for node in list(module.graph.nodes):
        found = _layer_of(node, layers)
        if found is not None and found.name in quantized.schemes:
            _simulate(module.graph, node, found, quantized)
    module.recompile()
    return module


def _layer_of(node: Any, layers: dict[str, Layer]) -> Layer | None:
    if node.op != "call_function":
        return None
    for arg in node.args[:2]:
        if getattr(arg, "op", None) == "get_attr" and arg.target in layers:
            return layers[arg.target]
    return None


def _simulate(graph: Any, node: Any, layer: Layer, quantized: Quantized) -> None:
    """Insert the activation quantization of one layer's scheme around its operator."""
    mode = quantized.schemes[layer.name].activations
    if mode == "dynamic":
        with graph.inserting_before(node):
            made = graph.call_function(quantize_dynamic, (node.args[0], layer.kind == "linear"))
        node.update_arg(0, made)
    elif mode == "static":
        with graph.inserting_before(node):
            made = _quantize_at(graph, node.args[0], quantized.ranges[layer.input])
        node.update_arg(0, made)
        last = next((n for n in graph.nodes if n.name == layer.output), None)
        if last is not None and layer.output in quantized.ranges:
            with graph.inserting_after(last):
                out = _quantize_at(graph, last, quantized.ranges[layer.output])
            last.replace_all_uses_with(out, delete_user_cb=lambda user: user is not out)


def _quantize_at(graph: Any, value: Any, found: Range) -> Any:
    return graph.call_function(quantize_affine, (value, found.scale, found.zero_point))
