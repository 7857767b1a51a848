"""Rounds all the weights of one layer to any number of schemes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdk.models import Layer
from sdk.rounding.feedback import feed_back
from sdk.rounding.grid import Grid
from sdk.rounding.round import round_weights
from sdk.rounding.settle import settle
from sdk.rounding.statistics import Moments, Statistics, weigh
from sdk.schemes import Scheme


def round_layer(
    layer: Layer, weights: Mapping[str, Any], schemes: Sequence[Scheme], statistics: Statistics
) -> list[tuple[Grid, ...]]:
    """Return the grids of the layer's weights for each of `schemes`; `weights` by qualified name.

    Scales and tables lose least by the importance of each weight. Where the moments of the input are known its energy counts
    too (see `weigh`), and error feedback then chooses the codes (see `feed_back`).
    """
    made = round_plain(layer, weights, schemes, statistics)
    moments = statistics.moments(layer.name)
    return made if moments is None else feed(layer, weights, made, moments)


def settle_layer(
    layer: Layer, weights: Mapping[str, Any], grids: tuple[Grid, ...], statistics: Statistics
) -> tuple[Grid, ...]:
    """Return `grids` of `round_layer`, settled (see `settle`) where the moments of the layer's input are known."""
    moments, first = statistics.moments(layer.name), layer.weights[0]
    if moments is None or not _rounds(grids[0]):
        return grids
    return settle(weights[first], grids[0], moments, statistics.importance.get(first)), *grids[1:]


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
    layer: Layer, weights: Mapping[str, Any], grids: Sequence[tuple[Grid, ...]], moments: Moments
) -> list[tuple[Grid, ...]]:
    """Return `grids` with the codes of the layer's (first) weight chosen by error feedback; what is exact stays, and floats."""
    chosen = [i for i, (grid, *_) in enumerate(grids) if _rounds(grid)]
    made = list(grids)
    if chosen:
        fed = feed_back(weights[layer.weights[0]], [grids[i][0] for i in chosen], moments)
        for i, grid in zip(chosen, fed, strict=True):
            made[i] = (grid, *grids[i][1:])
    return made


def _rounds(grid: Grid) -> bool:
    """Whether other codes could stand for the weight: not where it is stored in floats, or exactly."""
    return grid.scheme.format != "float" and not grid.exact
