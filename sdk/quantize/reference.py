"""The torch model with the same quantization: what a finished artifact is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sdk.lowering.types import Quantized, Range
from sdk.models import Layer
from sdk.models.layers import end_of
from sdk.models.rewrite import drop_unused_state
from sdk.quantize.integers import IntegerKernel, as_module, static_codes

Kernels = Mapping[str, str]
"""Layer → how its dynamic kernel differs: `position` takes the range of each position over its channels,
and the others are those of `IntegerKernel.way`."""


def reference(quantized: Quantized, kernels: Kernels | None = None) -> Callable[..., tuple[Any, ...]]:
    """Return a callable of the model's inputs: dequantized weights, and integer arithmetic where activations are 8 bit.

    A static layer quantizes its input and its output (behind a fused activation function); a dynamic one
    its input, per token for linears and per sample for convolutions.
    """
    return as_reference(reference_module(quantized, kernels))


def as_reference(module: Any) -> Callable[..., tuple[Any, ...]]:
    """Return the callable of a module that is executed without gradients."""
    import torch

    def run(*inputs: Any) -> tuple[Any, ...]:
        with torch.no_grad():
            return tuple(module(*inputs))

    return run


def reference_module(quantized: Quantized, kernels: Kernels | None = None) -> Any:
    """The GraphModule behind `reference`; a big model's weights are unfolded each time that they are read."""
    module = quantized.model.module()
    layers = {w: layer for layer in quantized.model.inventory.layers for w in layer.weights[:1]}
    for node in list(module.graph.nodes):
        found = _layer_of(node, layers)
        scheme = None if found is None else quantized.schemes.get(found.name)
        if found is not None and scheme is not None and scheme.activations != "float":
            _simulate(module, node, found, quantized, (kernels or {}).get(found.name, ""))
    if quantized.model.spill is not None:
        _unfold_when_read(module, quantized)
    _drop_unread(module)
    held = dict(module.named_parameters())
    made: dict[int, Any] = {}
    for layer in quantized.model.inventory.layers:
        for name, grid in zip(layer.weights, quantized.grids.get(layer.name, ()), strict=False):
            if name in held:
                again = made.get(id(grid.codes)) if grid.codes is not None else None  # a tied weight's codes are shared
                held[name].data = made[id(grid.codes)] = grid.dequantize() if again is None else again
    module.recompile()
    return module


def _unfold_when_read(module: Any, quantized: Quantized) -> None:
    """Make each planned weight in front of every operator that reads it: the graph forgets it behind that."""
    graph, layers = module.graph, quantized.model.inventory.layers
    grids = {w: grid for layer in layers for w, grid in zip(layer.weights, quantized.grids.get(layer.name, ()), strict=False)}
    for node in [n for n in graph.nodes if n.op == "get_attr" and n.target in grids]:
        for user in list(node.users):
            name = f"unfolded_{user.name}_{len(module._modules)}"
            module.add_submodule(name, as_module(grids[node.target].dequantize))
            with graph.inserting_before(user):
                made = graph.call_module(name)
            made.meta.update(node.meta)
            user.replace_input_with(node, made)


def _drop_unread(module: Any) -> None:
    """Take out the weights that integer kernels have replaced, and what reads them for nobody."""
    module.graph.eliminate_dead_code()
    drop_unused_state(module)


def _layer_of(node: Any, layers: dict[str, Layer]) -> Layer | None:
    if node.op != "call_function":
        return None
    for arg in node.args[:2]:
        if getattr(arg, "op", None) == "get_attr" and arg.target in layers:
            return layers[arg.target]
    return None


def _simulate(module: Any, node: Any, layer: Layer, quantized: Quantized, kernel: str) -> None:
    """Compute one layer's operator in integers, and quantize behind the activation function fused to a static one."""
    graph, static = module.graph, quantized.schemes[layer.name].activations == "static"
    source = quantized.ranges[layer.input] if static else None
    result = quantized.ranges.get(layer.output) if static else None
    rank = node.args[0].meta["val"].dim()
    dims = (-1,) if layer.kind == "linear" else (1,) if kernel == "position" else tuple(range(1, rank))
    made = IntegerKernel(quantized.grids[layer.name][0], node.target, dims, source, result, kernel)
    name = f"integers_{node.name}"
    module.add_submodule(name, as_module(made))
    with graph.inserting_before(node):
        call = graph.call_module(name, (node.args[0], *node.args[2:]), dict(node.kwargs))
    call.meta.update(node.meta)
    node.replace_all_uses_with(call)
    graph.erase_node(node)
    last = end_of(call)
    if result is not None:
        with graph.inserting_after(last):
            out = graph.call_function(quantize_static, (last, result.scale, result.zero_point))
        out.meta.update(last.meta)
        last.replace_all_uses_with(out, delete_user_cb=lambda user: user is not out)


def quantize_static(value: Any, scale: float, zero_point: int) -> Any:
    """Quantize-dequantize to asymmetric int8 with one scale per tensor, as kernels round."""
    return static_codes(value, Range(scale, zero_point)) * scale
