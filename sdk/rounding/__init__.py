"""Rounding: a float weight onto the grid of a scheme."""

from sdk.rounding.grid import Grid
from sdk.rounding.round import round_weight

__all__ = ["Grid", "round_weight"]
