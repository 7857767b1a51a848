"""Error feedback: rounds one input after the other and lets the later ones make up for the earlier ones' error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sdk.rounding.columns import BLOCK, Levels, columns_first, in_order, levels_of, parts_of, rows_of
from sdk.rounding.grid import Grid
from sdk.rounding.statistics import Moments

DAMPING = 0.01
"""Share of the mean energy that is added to every input's own (Frantar et al. 2022)."""

SMALL = 96
"""Rows of a triangular matrix that is inverted as a whole."""

ROWS = 128
"""Rows (or columns) of a matrix that are worked on at once: what takes their place is all that is held beside it."""


def feed_back(weight: Any, grids: Sequence[Grid], moments: Moments) -> tuple[Grid, ...]:
    """Return each of `grids` (of one weight, scales and tables kept) with the codes of least error in the output.

    Output channel r belongs to group r // (channels / groups) of the moments. Frantar et al. 2022, GPTQ: the error of a
    column, weighed by the Cholesky factor of the inverse moments, is taken off the columns that follow, in the order of
    falling energy.
    """
    import torch

    flat = weight.detach().float().movedim(grids[0].channel_axis, 0)
    moved = flat.shape
    flat = flat.reshape(len(flat), -1)
    factor, order = _factor(moments)
    least = [float(grid.codes.min()) for grid in grids]
    codes: list[list[Any]] = [[] for _ in grids]
    for rows in parts_of(flat, len(order)):
        made = _fed(flat[rows], [rows_of(grid, rows) for grid in grids], least, factor, order)
        for found, one in zip(codes, made, strict=True):
            found.append(one)
    return tuple(
        replace(grid, codes=torch.cat(found).reshape(moved).movedim(0, grid.channel_axis).contiguous())
        for grid, found in zip(grids, codes, strict=True)
    )


def _fed(flat: Any, grids: Sequence[Grid], least: Sequence[float], factor: Any, order: Any) -> list[Any]:
    """The codes [channels, rest] of some channels `flat` in each of `grids`; `least`: the whole weight's least code there."""
    import torch

    channels, (groups, k) = len(flat), order.shape
    whole = columns_first(in_order(flat, order), groups)
    made = []
    for grid, lowest in zip(grids, least, strict=True):
        found = _sweep(whole.clone(), factor, levels_of(grid, lowest, order, channels))
        back = torch.empty(groups, channels // groups, k, dtype=grid.codes.dtype)
        back.scatter_(2, order.unsqueeze(1).expand_as(back), found.transpose(1, 2).to(back.dtype))
        made.append(back.reshape(flat.shape))
    return made


def regularise(moments: Moments, order: Any) -> Any:
    """Return the moments in float64, drawn towards their diagonal by their noise, and damped; inputs in `order` ([groups, k])."""
    import torch

    dense = torch.empty(moments.value.shape, dtype=torch.float64)
    for value, own, into in zip(moments.value, order, dense, strict=True):
        for rows, chosen in zip(into.split(ROWS), own.split(ROWS), strict=True):
            rows.copy_(value[chosen][:, own])
    dense.mul_(1 - moments.noise)
    dense.diagonal(dim1=1, dim2=2).copy_(damped(moments).gather(1, order))
    return dense


def damped(moments: Moments) -> Any:
    """The diagonal of the regularised moments, float64 [groups, k]."""
    energy = moments.value.diagonal(dim1=1, dim2=2).double()
    return energy + DAMPING * energy.mean(1, keepdim=True).clamp(min=1e-12)


def _factor(moments: Moments) -> tuple[Any, Any]:
    """Upper Cholesky factor of the inverse, and the order of its columns, that of falling energy.

    Of moments = R Rᵀ with R upper it is R⁻¹. Both are had backwards, as lower matrices: of moments in rising order. Computed in
    float64, all in one matrix.
    """
    import torch

    order = damped(moments).argsort(dim=1, descending=True, stable=True)
    found = regularise(moments, order.flip(1)).mT  # LAPACK's own order: it then needs no copy
    torch.linalg.cholesky(found, out=found)
    _invert(found)
    return _turned(found), order


def _turned(found: Any) -> Any:
    """Matrices in float32 with their rows and columns the other way around."""
    import torch

    made = torch.empty(found.shape)
    for matrix, into in zip(found, made, strict=True):
        for start in range(0, len(into), ROWS):
            stop = min(len(into), start + ROWS)
            into[start:stop] = matrix[len(into) - stop : len(into) - start].flip(0, 1)
    return made


def _invert(lower: Any) -> None:
    """Invert lower triangular matrices in place, by halves: products are quicker than a solver that takes them for full."""
    import torch

    size = lower.shape[1]
    if size <= SMALL:
        lower.copy_(torch.linalg.solve_triangular(lower, torch.eye(size, dtype=lower.dtype).expand_as(lower), upper=False))
        return
    middle = size // 2
    first, last, below = lower[:, :middle, :middle], lower[:, middle:, middle:], lower[:, middle:, :middle]
    _invert(first)
    _invert(last)
    for rows in below.split(ROWS, dim=1):
        rows.copy_(rows @ first)
    for columns in below.split(ROWS, dim=2):
        columns.copy_(last @ columns).neg_()


def _sweep(work: Any, factor: Any, levels: Levels) -> Any:
    """Round `work` ([groups, k, channels per group], which is used up) column by column; return the codes (int16) like it."""
    import torch

    from sdk.rounding.kernels import feed_block

    groups, k, channels = work.shape
    codes = torch.empty(work.shape, dtype=torch.int16)
    for start in range(0, k, BLOCK):
        stop = min(k, start + BLOCK)
        errors = torch.empty(groups, stop - start, channels)
        feed_block(work.numpy(), factor.numpy(), start, stop, *levels, codes.numpy(), errors.numpy())
        if stop < k:
            work[:, stop:].baddbmm_(factor[:, start:stop, stop:].transpose(1, 2), errors, alpha=-1)
    return codes
