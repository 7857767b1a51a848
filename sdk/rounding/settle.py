"""Settles a rounded weight: its codes, then its scales or table, then its codes, to less error in the layer's output.

Error feedback decides every code once, at levels that were found before it. Here each is decided again, given all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sdk.rounding.columns import BLOCK, Integers, Tables, columns_first, parts_of, rows_of
from sdk.rounding.feedback import regularise
from sdk.rounding.grid import Grid
from sdk.rounding.refit import refitted
from sdk.rounding.statistics import Moments

LEAST_COUNT = 0.2
"""What every channel counts at least, beside the mean: few samples do not decide that one does not matter."""


def settle(weight: Any, grid: Grid, moments: Moments, importance: Any = None) -> Grid:
    """Return `grid` with codes, scales and tables of less error in the layer's output.

    Codes: coordinate descent on the squared error of the output, as Behdin et al. 2023 (QuantEase) do, from the codes of
    error feedback on. Scales and tables: least squares in the same metric (see `sdk.rounding.refit`). No step makes the
    error larger. `importance` (of the weight's shape, or None) says how much the channels that share a table count.
    """
    import torch

    flat = weight.detach().float().movedim(grid.channel_axis, 0)
    flat = flat.reshape(len(flat), -1)
    groups, k = moments.value.shape[:2]
    products = regularise(moments, torch.arange(k).expand(groups, k)).float()
    counts = _counts(importance, grid.channel_axis, moments)
    grid = refitted(flat, _descended(flat, grid, products), products, counts)
    return _descended(flat, grid, products)  # a second time around lowers the error by 0.5 % more


def _counts(importance: Any, channel_axis: int, moments: Moments) -> Any:
    """How much each channel's error counts beside the others' ([channels]): the mean square of its gradient; None: all alike."""
    if importance is None:
        return None
    energy = moments.value.diagonal(dim1=1, dim2=2).sum(1)
    rows = importance.float().movedim(channel_axis, 0).flatten(1).sum(1)
    counts = rows / energy.clamp(min=1e-30).repeat_interleave(len(rows) // len(energy))
    mean = float(counts.mean())
    return counts / mean + LEAST_COUNT if mean > 0 else None


def _descended(flat: Any, grid: Grid, products: Any) -> Grid:
    """One pass of coordinate descent over the columns."""
    import torch

    moved = grid.codes.movedim(grid.channel_axis, 0)
    least = [float(grid.codes.min())]
    codes = [_pass(flat[rows], rows_of(grid, rows), least, products) for rows in parts_of(flat, len(products))]
    made = torch.cat(codes).to(moved.dtype).reshape(moved.shape)
    return replace(grid, codes=made.movedim(0, grid.channel_axis).contiguous())


def _pass(flat: Any, grid: Grid, least: Sequence[float], products: Any) -> Any:
    """Decide the codes ([channels, k]) of some channels again, column by column."""
    import torch

    groups, k = products.shape[:2]
    order = torch.arange(k).expand(groups, k)
    round_ = (Integers if grid.table is None else Tables)([grid], least, order, len(flat))
    now = columns_first(grid.dequantize(), groups)
    slope = products @ (columns_first(flat, groups) - now)  # half of what the error falls by, per unit of each value
    codes = torch.empty(now.shape, dtype=torch.int16)
    diagonal = products.diagonal(dim1=1, dim2=2).unsqueeze(2)
    for start in range(0, k, BLOCK):
        stop = min(k, start + BLOCK)
        near, steps = slope[:, start:stop], torch.empty(groups, stop - start, now.shape[2])
        for i in range(start, stop):
            step = steps[:, i - start]
            best = now[:, i] + near[:, i - start] / diagonal[:, i]
            round_(best.unsqueeze(0), i, codes[:, i].unsqueeze(0), step.unsqueeze(0))
            step.sub_(now[:, i])
            near.addcmul_(products[:, start:stop, i].unsqueeze(2), step.unsqueeze(1), value=-1)
        for rest in (slice(0, start), slice(stop, k)):
            slope[:, rest].baddbmm_(products[:, rest, start:stop], steps, alpha=-1)
    return codes.transpose(1, 2).reshape(flat.shape)
