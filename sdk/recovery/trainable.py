"""Quantized weights that gradients can move: a latent value behind every code, and every scale or table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from sdk.rounding import Grid, exact_scale


class Trainable(Protocol):
    """One weight in training. `latent` and `steps` are what an optimizer moves, both in units that are alike in all layers."""

    latent: Any
    steps: Any

    def weight(self) -> Any:
        """Return the weight on its grid, in its own shape; gradients pass through the rounding (straight-through)."""

    def grid(self) -> Grid:
        """Return the grid that `weight` is on now."""


def trainable(grid: Grid) -> Trainable | None:
    """Return what trains `grid`, or None for float schemes and exact grids, which have nothing to recover."""
    if grid.scheme.format == "float" or grid.exact:
        return None
    return _Integers(grid) if grid.scheme.format == "int" else _Palette(grid)


class _Integers:
    """Symmetric integers: `latent` is the weight in quantization steps, `steps` the logarithm of each scale's change.

    The scale is learned as in Esser et al. 2020, Learned step size quantization.
    """

    def __init__(self, grid: Grid) -> None:
        import torch

        rows = grid.codes.movedim(grid.channel_axis, 0)
        self._start, self._moved = grid, rows.shape
        self._scale = grid.scale.expand(rows.shape[0], -1) if grid.scale.shape[0] == 1 else grid.scale
        self._grouped = grid.scheme.granularity == "group"
        self._most = 2 ** (grid.scheme.bits - 1) - 1
        self._least = min(-self._most, int(grid.codes.min()))
        self.latent = rows.reshape(rows.shape[0], self._scale.shape[1], -1).float().requires_grad_()
        self.steps = torch.zeros_like(grid.scale).requires_grad_()

    def _parts(self) -> tuple[Any, Any]:
        """Codes and scales, exact, with gradients."""
        scale = _through(change := self._start.scale * self.steps.exp(), exact_scale(change.detach(), self._grouped))
        codes = self.latent * (self._scale / scale).unsqueeze(2)
        return _through(codes, codes.detach().round()).clamp(self._least, self._most), scale

    def weight(self) -> Any:
        codes, scale = self._parts()
        return (codes * scale.unsqueeze(2)).reshape(self._moved).movedim(0, self._start.channel_axis)

    def grid(self) -> Grid:
        import torch

        with torch.no_grad():
            codes, scale = self._parts()
        kept = codes.reshape(self._moved).movedim(0, self._start.channel_axis).to(self._start.codes.dtype)
        return replace(self._start, codes=kept.contiguous(), scale=scale.detach().clone())


class _Palette:
    """Lookup tables: `latent` is the weight and `steps` the table, both in units of the table's mean step."""

    def __init__(self, grid: Grid) -> None:
        rows = grid.codes.movedim(grid.channel_axis, 0)
        self._start, self._moved = grid, rows.shape
        table = grid.table
        spread = table.amax(1, keepdim=True) - table.amin(1, keepdim=True)
        self._unit = (spread / table.shape[1]).clamp(min=2.0**-24)
        codes = rows.reshape(table.shape[0], -1).long()
        self.latent = (table.gather(1, codes) / self._unit).requires_grad_()
        self.steps = (table / self._unit).requires_grad_()

    def _parts(self) -> tuple[Any, Any]:
        """Codes, and the exact ascending table with gradients."""
        import torch

        table = (self.steps * self._unit).sort(dim=1).values
        table = _through(table, table.detach().half().float())
        middle = ((table[:, 1:] + table[:, :-1]) / 2).detach().contiguous()
        return torch.searchsorted(middle, (self.latent * self._unit).detach().contiguous()), table

    def weight(self) -> Any:
        codes, table = self._parts()
        latent = self.latent * self._unit
        rows = (table.gather(1, codes) + (latent - latent.detach())).reshape(self._moved[0], -1)
        rows = self._start.scaled(rows)
        return rows.reshape(self._moved).movedim(0, self._start.channel_axis)

    def grid(self) -> Grid:
        import torch

        with torch.no_grad():
            codes, table = self._parts()
        kept = codes.reshape(self._moved).movedim(0, self._start.channel_axis).to(self._start.codes.dtype)
        return replace(self._start, codes=kept.contiguous(), table=table.detach().clone())


def _through(value: Any, rounded: Any) -> Any:
    """`rounded`, exactly, with the gradient of `value` (straight-through: Bengio et al. 2013)."""
    return rounded + (value - value.detach())
