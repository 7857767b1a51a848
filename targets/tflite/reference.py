"""The torch model with the same quantization as the file, computing as LiteRT's kernels do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sdk.lowering import Quantized
from sdk.rounding import Grid
from targets.tflite.convert import FloatModel
from targets.tflite.match import Place


def reference(quantized: Quantized, source: FloatModel) -> Callable[..., tuple[Any, ...]]:
    """Return a callable of the model's inputs.

    Dynamic int8 measured on the runtime: linears quantize each row, convolutions each sample, 1x1 convolutions each
    position over its channels. Group scales are stored in bfloat16's precision after the converter's factor.
    """
    import torch

    from sdk.quantize.reference import reference_module

    module = reference_module(_as_stored(quantized, source))
    _quantize_per_position(module, quantized, source)

    def run(*inputs: Any) -> tuple[Any, ...]:
        with torch.no_grad():
            return tuple(module(*inputs))

    return run


def _as_stored(quantized: Quantized, source: FloatModel) -> Quantized:
    grids = dict(quantized.grids)
    for name, found in quantized.grids.items():
        if name in source.places and quantized.schemes[name].granularity == "group":
            pairs = zip(source.places[name], found, strict=True)
            grids[name] = tuple(_stored_grid(place, grid) for place, grid in pairs)
    return dataclasses.replace(quantized, grids=grids)


def _stored_grid(place: Place, grid: Grid) -> Grid:
    import torch

    from targets.tflite.recipes import stored_scale

    if place.rows is not None:
        return grid
    scale = torch.from_numpy(stored_scale(place, grid))
    if place.ratio is not None:
        scale = scale / torch.from_numpy(place.ratio).unsqueeze(1)
    return dataclasses.replace(grid, scale=scale)


def _quantize_per_position(module: Any, quantized: Quantized, source: FloatModel) -> None:
    """Replace the per-sample quantization in front of 1x1 convolutions."""
    from sdk.sensitivity.activations import quantize_dynamic

    weights = {w for name in source.pointwise for w in quantized.model.inventory[name].weights}
    for node in list(module.graph.nodes):
        if node.op != "call_function" or len(node.args) < 2 or getattr(node.args[1], "target", None) not in weights:
            continue
        made = node.args[0]
        if made.op == "call_function" and made.target is quantize_dynamic:
            made.target, made.args = quantize_channels, (made.args[0],)
    module.recompile()


def quantize_channels(value: Any) -> Any:
    """Asymmetric 8-bit quantize-dequantize of [N, C, ...] with the range of each position over its channels."""
    from sdk.sensitivity.activations import quantize_dynamic

    return quantize_dynamic(value.movedim(1, -1).contiguous(), True).movedim(-1, 1)
