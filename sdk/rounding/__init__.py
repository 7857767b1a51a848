"""Rounding: a float weight onto the grid of a scheme."""

from sdk.rounding.aim import Drift, aim
from sdk.rounding.grid import Grid
from sdk.rounding.layer import feed, round_layer, round_plain
from sdk.rounding.round import exact_scale, round_weight
from sdk.rounding.statistics import Half, Moments, Statistics, off_diagonal

__all__ = [
    "Drift", "Grid", "Half", "Moments", "Statistics", "aim", "exact_scale", "feed", "off_diagonal", "round_layer", "round_plain",
    "round_weight",
]  # fmt: skip
