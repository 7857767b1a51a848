"""Rounding: a float weight onto the grid of a scheme."""

from sdk.rounding.aim import Drift, aim
from sdk.rounding.grid import Grid
from sdk.rounding.lattice import least_integer
from sdk.rounding.layer import Refine, feed, round_layer, round_plain, small, unrefined
from sdk.rounding.recognise import recognise
from sdk.rounding.round import exact_scale, lies_on, round_weight
from sdk.rounding.settle import descend, settle
from sdk.rounding.statistics import Moments, Part, Statistics, off_diagonal

__all__ = [
    "Drift", "Grid", "Moments", "Part", "Refine", "Statistics", "aim", "descend", "exact_scale", "feed", "least_integer",
    "lies_on", "off_diagonal", "recognise", "round_layer", "round_plain", "round_weight", "settle", "small", "unrefined",
]  # fmt: skip
