"""Rounding: a float weight onto the grid of a scheme."""

from sdk.rounding.grid import Grid

__all__ = ["Grid"]
