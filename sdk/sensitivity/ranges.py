"""Calibrates the static 8-bit ranges of tensors: least squared error over the calibration samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sdk.lowering.types import Range
from sdk.models import Layer, Model
from sdk.models.samples import Samples
from sdk.sensitivity.activations import quantize_static

KEPT = 8192
"""Values kept per tensor and sample to judge a clipped range by."""

RATIOS = (1.0, 0.98, 0.95, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7)


def calibrate_ranges(model: Model, layers: Iterable[Layer], samples: Samples, limit: int = 32) -> dict[str, Range]:
    """Return the range of every input and output tensor of `layers`, by node name.

    A tensor that only moves another's values (padding with zero, reshape, max pooling) shares its range.
    """
    import torch

    module = model.module()
    nodes = {node.name: node for node in module.graph.nodes}
    wanted = {name for layer in layers for name in (layer.input, layer.output) if name in nodes}
    origins = {name: _origin(nodes[name]) for name in wanted}
    seen: dict[str, list[Any]] = {name: [] for name in origins.values()}
    extremes: dict[str, tuple[float, float]] = {}

    class Observer(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            if node.name in seen and isinstance(value, torch.Tensor) and value.is_floating_point():
                flat = value.detach().flatten()
                low, high = extremes.get(node.name, (0.0, 0.0))
                extremes[node.name] = (min(low, float(flat.min())), max(high, float(flat.max())))
                seen[node.name].append(flat[:: max(1, flat.numel() // KEPT)].clone())
            return value

    with torch.no_grad():
        for inputs in samples.inputs[:limit]:
            Observer(module).run(*inputs)
    fitted = {name: _fit(torch.cat(values), *extremes[name]) for name, values in seen.items() if values}
    return {name: fitted[origin] for name, origin in origins.items() if origin in fitted}


def _origin(node: Any) -> str:
    """The tensor whose values `node` merely moves."""
    import torch

    aten = torch.ops.aten
    moving = {aten.view.default, aten.reshape.default, aten.permute.default, aten.transpose.int, aten.flatten.using_ints,
              aten.squeeze.dim, aten.squeeze.default, aten.unsqueeze.default, aten.max_pool2d.default,
              aten.pad.default, aten.constant_pad_nd.default, aten.slice.Tensor, aten.select.int, aten.contiguous.default}
    padding = {aten.pad.default, aten.constant_pad_nd.default}
    while node.op == "call_function" and node.target in moving:
        fill = [a for a in node.args[2:] if isinstance(a, int | float) and a != 0]
        if node.target in padding and (fill or node.kwargs.get("value") or "constant" not in (*node.args[2:3], "constant")):
            break
        node = node.args[0]
    return str(node.name)


def _fit(values: Any, low: float, high: float) -> Range:
    """The clipped range of least squared error, zero on the grid."""
    best, best_error = None, float("inf")
    for ratio in RATIOS:
        candidate = affine_range(low * ratio, high * ratio)
        error = float((quantize_static(values, candidate) - values).square().mean())
        if error < best_error:
            best, best_error = candidate, error
    return best or affine_range(low, high)


def affine_range(low: float, high: float) -> Range:
    """Asymmetric int8 range that covers [low, high] and zero; the scale is exact in float32."""
    import numpy as np

    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max((high - low) / 255.0, 1e-8)))
    return Range(scale, int(max(-128, min(127, round(-128 - low / scale)))))
