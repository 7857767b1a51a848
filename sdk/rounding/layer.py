"""Rounds all the weights of one layer to any number of schemes at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sdk.models import Layer, Model
from sdk.rounding.feedback import feed_back
from sdk.rounding.grid import Grid
from sdk.rounding.round import round_weights
from sdk.rounding.statistics import Moments, Statistics, weigh
from sdk.schemes import Scheme

LARGEST = 2 << 30
"""Bytes of float weights beyond which roundings are not refined, which costs six products of each weight with its moments."""


Refine = Callable[[Any, Sequence[Grid], Moments, Any], Sequence[Grid]]
"""Grids of one weight with less error in the layer's output, from (the weight, its grids, moments, importance or None)."""


def unrefined(weight: Any, grids: Sequence[Grid], moments: Moments, importance: Any) -> Sequence[Grid]:
    """Return the grids as they are."""
    return grids


def small(model: Model) -> bool:
    """Whether the float weights are at most LARGEST, so that roundings are refined."""
    return 4 * sum(layer.parameters for layer in model.inventory.layers) <= LARGEST


def round_layer(
    layer: Layer, weights: Mapping[str, Any], schemes: Sequence[Scheme], statistics: Statistics, refine: Refine = unrefined
) -> list[tuple[Grid, ...]]:
    """Return the grids of the layer's weights for each of `schemes`; `weights` by qualified name.

    Scales and tables lose least by the importance of each weight. Where the moments of the input are known its energy counts
    too (see `weigh`), and error feedback then chooses the codes, which `refine` (`settle`, `descend`) chooses again.
    """
    made = round_plain(layer, weights, schemes, statistics)
    moments = statistics.moments(layer.name)
    return made if moments is None else feed(layer, weights, made, moments, statistics, refine)


def round_plain(
    layer: Layer, weights: Mapping[str, Any], schemes: Sequence[Scheme], statistics: Statistics
) -> list[tuple[Grid, ...]]:
    """Return the grids of `round_layer` before error feedback."""
    energy = statistics.energy(layer.name)
    rounded = []
    for i, name in enumerate(layer.weights):
        weight, axis, importance = weights[name], layer.channel_axis, statistics.importance.get(name)
        if i == 0 and energy is not None:
            importance = weigh(importance, energy, weight, axis)
        rounded.append(round_weights(weight, schemes, axis, importance))
    return list(zip(*rounded, strict=True))


def feed(
    layer: Layer, weights: Mapping[str, Any], grids: Sequence[tuple[Grid, ...]], moments: Moments, statistics: Statistics,
    refine: Refine,
) -> list[tuple[Grid, ...]]:
    """Return `grids` with the layer's (first) weight rounded by error feedback (see `feed_back`) and then by `refine`.

    What is exact stays, and floats.
    """
    chosen, made = [i for i, (grid, *_) in enumerate(grids) if _rounds(grid)], list(grids)
    if chosen:
        weight, importance = weights[layer.weights[0]], statistics.importance.get(layer.weights[0])
        fed = feed_back(weight, [grids[i][0] for i in chosen], moments)
        for i, grid in zip(chosen, refine(weight, fed, moments, importance), strict=True):
            made[i] = (grid, *grids[i][1:])
    return made


def _rounds(grid: Grid) -> bool:
    """Whether other codes could stand for the weight: not where it is stored in floats, or exactly."""
    return grid.scheme.format != "float" and not grid.exact
