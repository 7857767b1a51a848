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
    position over its channels; depthwise ones run in LiteRT's own kernels, all others in XNNPACK's. Group scales are
    stored in bfloat16's precision after the converter's factor. A language model's float operators between its layers are the
    runtime's own (see `native`).
    """
    from sdk.quantize import as_reference, reference_module

    kernels = {layer.name: "unfused" for layer in quantized.model.inventory.layers if layer.kind == "depthwise"}
    module = reference_module(_as_stored(quantized, source), kernels | dict.fromkeys(source.pointwise, "position"))
    language = quantized.model.language
    if language is not None:
        from targets.tflite.decoding import cache_length
        from targets.tflite.native import with_own_kernels

        module = with_own_kernels(module, cache_length(language))
    return as_reference(module)


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
        scale = scale / torch.from_numpy(place.factors[1]).unsqueeze(1)
    return dataclasses.replace(grid, scale=scale)
