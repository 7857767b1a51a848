"""Rounds all the weights of one layer to any number of schemes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdk.models import Layer
from sdk.rounding.feedback import feed_back
from sdk.rounding.grid import Grid
from sdk.rounding.round import round_weight
from sdk.rounding.statistics import Statistics
from sdk.schemes import Scheme


def round_layer(
    layer: Layer, weights: Mapping[str, Any], schemes: Sequence[Scheme], statistics: Statistics
) -> list[tuple[Grid, ...]]:
    """Return the grids of the layer's weights for each of `schemes`; `weights` by qualified name.

    Scales and tables lose least by the importance of each weight; where the moments of the input are known, error
    feedback then chooses the codes (see `feed_back`).
    """
    made = [
        tuple(round_weight(weights[w], scheme, layer.channel_axis, statistics.importance.get(w)) for w in layer.weights)
        for scheme in schemes
    ]
    moments = statistics.moments.get(layer.name)
    chosen = [i for i, scheme in enumerate(schemes) if scheme.format != "float"]
    if moments is None or not chosen:
        return made
    fed = feed_back(weights[layer.weights[0]], [made[i][0] for i in chosen], moments)
    for i, grid in zip(chosen, fed, strict=True):
        made[i] = (grid, *made[i][1:])
    return made
