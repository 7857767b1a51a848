"""Applies a plan's schemes to a model: every weight on its grid, every static tensor with its range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdk.lowering.types import Quantized, Range
from sdk.models import Model
from sdk.rounding import round_weight
from sdk.schemes import Scheme


def quantize(
    model: Model, schemes: Mapping[str, Scheme], importance: Mapping[str, Any], ranges: Mapping[str, Range]
) -> Quantized:
    """Return the model with each layer of `schemes` rounded to its scheme.

    `importance` weighs the rounding (weight name → tensor, may be empty); `ranges` are the calibrated ranges of the
    inputs and outputs of static layers, by tensor name.
    """
    module = model.module()
    grids = {}
    for layer in model.inventory.layers:
        if layer.name in schemes:
            scheme = schemes[layer.name]
            grids[layer.name] = tuple(
                round_weight(module.get_parameter(w), scheme, layer.channel_axis, importance.get(w)) for w in layer.weights
            )
    return Quantized(model, dict(schemes), grids, dict(ranges))
