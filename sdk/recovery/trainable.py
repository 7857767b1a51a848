"""Stored weights that gradients can move: a latent value behind every code, and every scale, table and float."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from sdk.rounding import Grid, exact_scale

EDGE = 0.9
"""Share of the way from a code to the border of its cell within which training begins."""


class Trainable(Protocol):
    """One weight in training: tensors that an optimizer moves, in units that are alike in all layers.

    `latent` is what lies behind the codes, in quantization steps; None for floats. `steps` are the rest: the
    logarithms of scales, tables in their mean step, floats in their root mean square. `latent` has `channels` outputs in front.
    """

    latent: Any
    channels: int
    steps: tuple[Any, ...]

    def weight(self) -> Any:
        """Return the weight as it is stored, in its own shape; gradients pass through the rounding (straight-through)."""

    def grid(self) -> Grid:
        """Return the grid that `weight` is on now."""


def trainable(grid: Grid, weight: Any) -> Trainable | None:
    """Return what trains `grid`, or None for an exact grid, which has nothing to recover.

    `weight` is the float weight that `grid` stands for.
    """
    if grid.exact:
        return None
    if grid.scheme.format == "float":
        return _Floats(grid)
    return _Integers(grid, weight) if grid.scheme.format == "int" else _Palette(grid, weight)


class _Floats:
    """A weight in floating point."""

    latent = None

    def __init__(self, grid: Grid) -> None:
        self._start = grid
        self.channels = 1
        self._unit = grid.value.square().mean().sqrt().clamp(min=2.0**-24)
        self.steps = ((grid.value / self._unit).requires_grad_(),)

    def weight(self) -> Any:
        value = self.steps[0] * self._unit
        return _through(value, value.detach().half().float()) if self._start.scheme.bits == 16 else value

    def grid(self) -> Grid:
        return replace(self._start, value=self.weight().detach().clone())


class _Coded:
    """Codes of the weight, its output channels in front.

    When training begins `latent` is the float weight, or what of its code's cell is nearest to it: training begins where rounding
    ended, and those codes change first that were a near thing.
    """

    latent: Any

    def __init__(self, grid: Grid) -> None:
        self._start, self._shape = grid, grid.codes.movedim(grid.channel_axis, 0).shape
        self.channels = self._shape[0]

    def _whole(self, rows: Any) -> Any:
        """Rows per channel in the weight's own shape."""
        return rows.reshape(self._shape).movedim(0, self._start.channel_axis)

    def _kept(self, codes: Any) -> Any:
        return self._whole(codes.detach()).to(self._start.codes.dtype).contiguous()


class _Integers(_Coded):
    """Symmetric integers: `latent` is the weight in quantization steps, `steps` the logarithm of each scale's change.

    The scale is learned as in Esser et al. 2020, Learned step size quantization.
    """

    def __init__(self, grid: Grid, weight: Any) -> None:
        import torch

        super().__init__(grid)
        rows = grid.codes.movedim(grid.channel_axis, 0).float()
        self._groups = (rows.shape[0], grid.scale.shape[1], -1)
        self._grouped = grid.scheme.granularity == "group"
        self._most = 2 ** (grid.scheme.bits - 1) - 1
        self._least = min(-self._most, int(grid.codes.min()))
        codes = rows.reshape(self._groups)
        wanted = (weight.movedim(grid.channel_axis, 0).reshape(self._groups) / grid.scale.unsqueeze(2)).nan_to_num()
        self.latent = (codes + (wanted - codes).clamp(-EDGE / 2, EDGE / 2)).requires_grad_()
        self.steps = (torch.zeros_like(grid.scale).requires_grad_(),)

    def _codes(self) -> Any:
        """Rounded and clamped; gradients pass within the clamp."""
        import torch

        return torch.fake_quantize_per_tensor_affine(self.latent, 1.0, 0, self._least, self._most)

    def _scale(self) -> Any:
        changed = self._start.scale * self.steps[0].exp()
        return _through(changed, exact_scale(changed.detach(), self._grouped))

    def weight(self) -> Any:
        return self._whole(self._codes() * self._scale().unsqueeze(2))

    def grid(self) -> Grid:
        return replace(self._start, codes=self._kept(self._codes()), scale=self._scale().detach().clone())


class _Palette(_Coded):
    """Lookup tables: `latent` is the weight, less its scale, and the first of `steps` the table, in units of its mean step.

    The second of `steps`, where the scheme has scales, is the logarithm of each one's change.
    """

    def __init__(self, grid: Grid, weight: Any) -> None:
        import torch

        super().__init__(grid)
        table = grid.table
        spread = table.amax(1, keepdim=True) - table.amin(1, keepdim=True)
        self._unit = (spread / table.shape[1]).clamp(min=2.0**-24)
        rows = grid.codes.movedim(grid.channel_axis, 0).reshape(table.shape[0], -1).long()
        self.latent = (self._begin(weight, rows) / self._unit).requires_grad_()
        scales = () if grid.scale is None else (torch.zeros_like(grid.scale).requires_grad_(),)
        self.steps = ((table / self._unit).requires_grad_(), *scales)

    def _begin(self, weight: Any, codes: Any) -> Any:
        """What of the cells of `codes` is nearest to `weight`, less its scale; one row per table."""
        import torch

        table, scale = self._start.table, self._start.scale
        wanted = weight.movedim(self._start.channel_axis, 0).reshape(self._shape[0], -1)
        if scale is not None:
            wanted = (wanted.reshape(*scale.shape, -1) / scale.unsqueeze(2)).nan_to_num()
        middle, half = (table[:, 1:] + table[:, :-1]) / 2, self._unit / 2
        own = table.gather(1, codes)
        least = torch.cat((table[:, :1] - half, middle), 1).gather(1, codes)
        most = torch.cat((middle, table[:, -1:] + half), 1).gather(1, codes)
        wanted = wanted.reshape(own.shape).maximum(own + EDGE * (least - own))
        return wanted.minimum(own + EDGE * (most - own))

    def _table(self) -> Any:
        """The exact ascending table, with gradients."""
        table = (self.steps[0] * self._unit).sort(dim=1).values
        return _through(table, table.detach().half().float())

    def _codes(self, table: Any) -> Any:
        """Codes of the nearest entries, one row per table."""
        import torch

        value = (self.latent * self._unit).detach()
        codes = torch.zeros_like(value, dtype=torch.uint8)
        for middle in ((table[:, 1:] + table[:, :-1]) / 2).detach().split(1, dim=1):
            codes += value > middle
        return codes.long()

    def _scale(self) -> Any:
        changed = self._start.scale * self.steps[1].exp()
        return _through(changed, changed.detach().half().float())

    def weight(self) -> Any:
        table = self._table()
        rows = table.gather(1, self._codes(table))
        latent = self.latent * self._unit
        rows = rows + (latent - latent.detach())
        rows = rows.reshape(self._shape[0], -1)
        if self._start.scale is not None:
            scale = self._scale()
            rows = (rows.reshape(*scale.shape, -1) * scale.unsqueeze(2)).reshape(rows.shape)
        return self._whole(rows)

    def grid(self) -> Grid:
        table = self._table()
        scale = None if self._start.scale is None else self._scale().detach().clone()
        return replace(self._start, codes=self._kept(self._codes(table)), table=table.detach().clone(), scale=scale)


def _through(value: Any, rounded: Any) -> Any:
    """`rounded`, exactly, with the gradient of `value` (straight-through: Bengio et al. 2013)."""
    return rounded + (value - value.detach())
