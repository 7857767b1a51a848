"""What a quantization scheme is: pure data, free of torch and of every toolchain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["float", "int", "lut"]
Granularity = Literal["tensor", "channel", "group"]
Activations = Literal["float", "dynamic", "static"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one layer's weight is stored and how its input is computed with.

    `bits` is the width of one stored weight in bits. `format` says what a code means: a float, an
    integer times a scale, or an index into a lookup table (palette). `granularity` is the part of the
    weight that shares one scale (int) or one table (lut). `group` counts weights along the input
    dimension that share a scale (int), or output channels that share a table (lut); 0 where it does
    not apply. `channel_scale` multiplies a palette by one scale per output channel, `scale_group` by one for as many weights
    along the input dimension (0: by none). `activations`: the layer computes with float inputs, with inputs quantized to
    8 bits per token at run time (dynamic), or with calibrated per-tensor 8-bit inputs and outputs (static).
    """

    name: str
    bits: int
    format: Format
    granularity: Granularity = "tensor"
    group: int = 0
    symmetric: bool = True
    channel_scale: bool = False
    activations: Activations = "float"
    summary: str = ""
    scale_group: int = 0


def fits(scheme: Scheme, shape: tuple[int, ...], channel_axis: int) -> str | None:
    """Say why a weight of `shape` cannot hold `scheme`, or None when it can.

    `channel_axis` is the axis of the output channels. Groups of an int scheme run along the flattened
    rest of the weight and must divide it, those of a palette's scales too; groups of a palette divide the output channels.
    """
    channels = shape[channel_axis]
    if scheme.granularity == "group" and scheme.format == "lut" and channels % scheme.group:
        return f"{channels} output channels / {scheme.group}"
    inputs = 1
    for axis, size in enumerate(shape):
        inputs *= 1 if axis == channel_axis else size
    group = scheme.group if scheme.granularity == "group" and scheme.format == "int" else scheme.scale_group
    return f"{inputs} inputs per channel / group {group}" if group and inputs % group else None
