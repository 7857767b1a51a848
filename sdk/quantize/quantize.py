"""Applies a plan's schemes to a model: every weight on its grid, every static tensor with its range."""

from __future__ import annotations

from collections.abc import Mapping

from sdk.lowering.types import Quantized, Range
from sdk.models import Model
from sdk.models.samples import Samples
from sdk.quantize.bias import room_for_biases
from sdk.quantize.tied import tie
from sdk.quantize.walk import round_in_order, walkable
from sdk.rounding import Statistics, round_layer, settle, small, unrefined
from sdk.schemes import Scheme


def quantize(
    model: Model,
    schemes: Mapping[str, Scheme],
    ranges: Mapping[str, Range] | None = None,
    statistics: Statistics | None = None,
    samples: Samples | None = None,
) -> Quantized:
    """Return the model with each layer of `schemes` rounded to its scheme.

    `ranges` are the calibrated ranges of the inputs and outputs of static layers, by tensor name; `statistics` what
    rounding uses of the calibration data (without them every weight is rounded for itself, all alike). With `samples` that
    were given the layers are rounded in order, each making up for those before it (see `sdk.quantize.walk`).
    A tied embedding and head on one grid are rounded once. The bias of a static layer fits its kernel (`room_for_biases`).
    """
    known, found = ranges or {}, statistics or Statistics()
    if samples is not None and walkable(model, samples):
        grids = round_in_order(model, schemes, known, found, samples)
    else:
        module, refine, grids = model.module(), settle if small(model) else unrefined, {}
        for layer in model.inventory.layers:
            if layer.name in schemes:
                weights = {w: module.get_parameter(w) for w in layer.weights}
                grids[layer.name] = round_layer(layer, weights, [schemes[layer.name]], found, refine)[0]
                model.release()
    return tie(Quantized(model, dict(schemes), room_for_biases(model, grids, known), dict(known)))
