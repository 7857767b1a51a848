"""Quantized models as programs in float16 hold them: scales, and every weight and constant that is not quantized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sdk.lowering.types import Quantized
from sdk.rounding import Grid
from targets.executorch.packing import stored_scale

LARGEST = 65504.0
"""The largest float16; larger constants are cut to it."""


def half_scales(quantized: Quantized) -> Quantized:
    """Return the quantized model with every scale as it is written into the graph, then rounded to float16."""
    return replace(quantized, grids={name: tuple(map(_half, grids)) for name, grids in quantized.grids.items()})


def _half(grid: Grid) -> Grid:
    if grid.scale is None:
        return grid
    return replace(grid, scale=stored_scale(grid).reshape(grid.scale.shape).half().float())


def half_reference(quantized: Quantized) -> Callable[..., Any]:
    """Return the torch callable with the same quantization whose other parameters and buffers are rounded to float16.

    It computes in float32: what float16 loses between two operators is the difference that is looked for.
    """
    import torch

    from sdk.quantize import reference_module

    module = reference_module(quantized)
    planned = {w for layer in quantized.model.inventory.layers if layer.name in quantized.grids for w in layer.weights}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name not in planned and tensor.is_floating_point():
            tensor.data = tensor.data.clamp(-LARGEST, LARGEST).half().float()

    def run(*inputs: Any) -> tuple[Any, ...]:
        with torch.no_grad():
            return tuple(module(*inputs))

    return run
