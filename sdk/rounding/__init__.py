"""Rounding: a float weight onto the grid of a scheme."""

from sdk.rounding.grid import Grid
from sdk.rounding.layer import round_layer
from sdk.rounding.round import round_weight
from sdk.rounding.statistics import Moments, Statistics

__all__ = ["Grid", "Moments", "Statistics", "round_layer", "round_weight"]
