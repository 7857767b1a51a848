"""Predicts the bytes of a finished file for any mix of schemes, from the float file and the format's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sdk.lowering import Prices
from sdk.models import Model
from sdk.schemes import Scheme, fits
from targets.tflite.convert import FloatModel
from targets.tflite.match import CHANNEL_AXIS, Place
from targets.tflite.recipes import mode_of

SCALES = 64
"""Bytes of a quantization table besides its vectors: offsets, the vectors' lengths and padding."""

GROUPED = 148
"""The same for group scales: details table, the scales' own tensor, buffer and name."""

DEQUANTIZE = 132
"""One more operator and the tensor between: what a dequantize in front of an operator costs besides its name."""

STATIC = 460
"""Quantize and dequantize around a static operator, quantization of both tensors, its own integer bias."""


def prices(model: Model, source: FloatModel, choices: Mapping[str, Sequence[Scheme]]) -> Prices:
    """Return base bytes and the price of each layer and scheme that this model can hold."""
    base = len(source.data) + 8 * sum(source.shared)
    layers: dict[str, dict[str, int]] = {}
    for layer in model.inventory.layers:
        found = source.places.get(layer.name, ())
        base -= sum(_float_bytes(place) for place in found)
        layers[layer.name] = {
            scheme.name: sum(_price(place, scheme, source.shared) for place in found)
            for scheme in choices.get(layer.name, ())
            if objection(scheme, layer.name, source) is None
        }
    return Prices(base, layers)


def objection(scheme: Scheme, layer: str, source: FloatModel) -> str | None:
    """Say why the layer of this model cannot be stored in `scheme`, or None when it can."""
    if scheme.name == "fp32":
        return None
    if layer not in source.places:
        return "the converter rewrote its weight, so it can only stay fp32"
    for place in source.places[layer]:
        if place.builtin in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV") and scheme.format == "int" and scheme.bits < 8:
            if layer not in source.pointwise:
                return "only 1x1 convolutions with stride 1 hold fewer than 8 bits soundly and fast"
        if scheme.granularity == "group" and fits(scheme, (place.shape[0], math.prod(place.shape[1:])), 0) is not None:
            return f"{math.prod(place.shape[1:])} inputs per channel do not divide into groups of {scheme.group}"
    return None


def _channels(place: Place) -> int:
    return int(place.shape[CHANNEL_AXIS[place.builtin]])


def _aligned(size: int) -> int:
    return (size + 4 + 15) // 16 * 16


def _float_bytes(place: Place) -> int:
    return _aligned(4 * math.prod(place.shape))


def _price(place: Place, scheme: Scheme, shared: frozenset[int]) -> int:
    """Bytes of one weight with everything that its scheme adds to the file."""
    if scheme.name == "fp32":
        return _float_bytes(place)
    elements, channels = math.prod(place.shape), _channels(place)
    size = _aligned(math.ceil(elements * scheme.bits / 8))
    name = len(place.parameter)
    mode = mode_of(scheme, place.builtin)
    if mode == "dequantize":
        size += DEQUANTIZE + name
    elif mode == "static":
        size += STATIC + 12 * channels + 4 * name
    if scheme.granularity == "group":
        return size + GROUPED + name + _aligned(2 * elements // scheme.group)
    if scheme.format == "int":
        size += SCALES + 4 * channels + (0 if channels in shared else 8 * channels)
    return size
