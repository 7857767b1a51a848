"""Settles a rounded weight: its codes, then its scales or table, then its codes, to less error in the layer's output.

Error feedback decides every code once, at levels that were found before it. Here each is decided again, given all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sdk.rounding.columns import BLOCK, Levels, by_column, columns_first, levels_of, parts_of, rows_of
from sdk.rounding.feedback import damped
from sdk.rounding.grid import Grid
from sdk.rounding.refit import refitted
from sdk.rounding.statistics import Moments

LEAST_COUNT = 0.2
"""What every channel counts at least, beside the mean: few samples do not decide that one does not matter."""

CHANNELS = 256
"""Channels whose error is multiplied with the moments at once."""


def settle(weight: Any, grids: Sequence[Grid], moments: Moments, importance: Any) -> tuple[Grid, ...]:
    """Return each of `grids` (of one weight) with codes, scales and tables of less error in the layer's output.

    Codes: see `descend`. Scales and tables: least squares in the same metric (see `sdk.rounding.refit`). No step makes the
    error larger. `importance` (of the weight's shape, or None) says how much the channels that share a table count.
    """
    flat, products = _metric(weight, grids[0].channel_axis, moments)
    counts = _counts(importance, grids[0].channel_axis, moments)
    fitted = [refitted(flat, grid, products, counts) for grid in _descended(flat, grids, products)]
    return _descended(flat, fitted, products)  # a second time around lowers the error by 0.5 % more


def descend(weight: Any, grids: Sequence[Grid], moments: Moments, importance: Any) -> tuple[Grid, ...]:
    """Return each of `grids` (of one weight) with codes of less error in the layer's output.

    One pass of coordinate descent on the squared error of the output, as Behdin et al. 2023 (QuantEase) do, from the codes of
    error feedback on. That is most of what `settle` gains, for a third of its time.
    """
    flat, products = _metric(weight, grids[0].channel_axis, moments)
    return _descended(flat, grids, products)


def _metric(weight: Any, channel_axis: int, moments: Moments) -> tuple[Any, Any]:
    """The weight as [channels, k], and the moments as errors are measured in ([groups, k, k])."""
    flat = weight.detach().float().movedim(channel_axis, 0)
    products = moments.value * (1 - moments.noise)
    products.diagonal(dim1=1, dim2=2).copy_(damped(moments))
    return flat.reshape(len(flat), -1), products


def _counts(importance: Any, channel_axis: int, moments: Moments) -> Any:
    """How much each channel's error counts beside the others' ([channels]): the mean square of its gradient; None: all alike."""
    if importance is None:
        return None
    energy = moments.value.diagonal(dim1=1, dim2=2).sum(1)
    rows = importance.float().movedim(channel_axis, 0).flatten(1).sum(1)
    counts = rows / energy.clamp(min=1e-30).repeat_interleave(len(rows) // len(energy))
    mean = float(counts.mean())
    return counts / mean + LEAST_COUNT if mean > 0 else None


def _descended(flat: Any, grids: Sequence[Grid], products: Any) -> tuple[Grid, ...]:
    """One pass of coordinate descent over the columns."""
    least = [float(grid.codes.min()) for grid in grids]
    codes: list[list[Any]] = [[] for _ in grids]
    for rows in parts_of(flat, len(products)):
        made = _pass(flat[rows], [rows_of(grid, rows) for grid in grids], least, products)
        for found, one in zip(codes, made, strict=True):
            found.append(one)
    return tuple(map(_coded, grids, codes))


def _coded(grid: Grid, rows: Sequence[Any]) -> Grid:
    """The grid with other codes ([channels, k], in parts)."""
    import torch

    moved = grid.codes.movedim(grid.channel_axis, 0)
    made = torch.cat(list(rows)).reshape(moved.shape)
    return replace(grid, codes=made.movedim(0, grid.channel_axis).contiguous())


def _pass(flat: Any, grids: Sequence[Grid], least: Sequence[float], products: Any) -> list[Any]:
    """Decide the codes ([channels, k], of each grid) of some channels again, column by column."""
    import torch

    groups, k = products.shape[:2]
    order = torch.arange(k).expand(groups, k)
    whole = by_column(flat, groups)
    made = []
    for grid, lowest in zip(grids, least, strict=True):
        now = columns_first(grid.dequantize(), groups)
        codes = _sweep(now, _slope(whole, now, products), products, levels_of(grid, lowest, order, len(flat)))
        made.append(codes.to(grid.codes.dtype).transpose(1, 2).reshape(flat.shape))
    return made


def _slope(whole: Any, now: Any, products: Any) -> Any:
    """Half of what the error falls by, per unit of each value of `now` ([groups, k, channels per group], as is `whole`)."""
    import torch

    slope = torch.empty_like(now)
    for start in range(0, now.shape[2], CHANNELS):
        some = slice(start, start + CHANNELS)
        slope[..., some] = products @ (whole[..., some] - now[..., some])
    return slope


def _sweep(now: Any, slope: Any, products: Any, levels: Levels) -> Any:
    """The codes (int16) that `now` ([groups, k, channels per group]) goes to down its `slope`, which is used up."""
    import torch

    from sdk.rounding.kernels import descend_block

    groups, k, channels = now.shape
    codes = torch.empty(now.shape, dtype=torch.int16)
    for start in range(0, k, BLOCK):
        stop = min(k, start + BLOCK)
        steps = torch.empty(groups, stop - start, channels)
        descend_block(now.numpy(), slope.numpy(), products.numpy(), start, stop, *levels, codes.numpy(), steps.numpy())
        if stop < k:
            slope[:, stop:].baddbmm_(products[:, stop:, start:stop], steps, alpha=-1)
    return codes
