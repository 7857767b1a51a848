"""Error feedback: rounds one input after the other and lets the later ones make up for the earlier ones' error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Protocol

from sdk.rounding.grid import Grid
from sdk.rounding.statistics import Moments

DAMPING = 0.01
"""Share of the mean energy that is added to every input's own (Frantar et al. 2022)."""

SMALL = 96
"""Rows of a triangular matrix that is inverted as a whole."""

BLOCK = 32
"""Columns between two updates of all the columns that are left."""

TOGETHER = 1 << 21
"""Weights times grids that are swept at once."""

PART = 1 << 25
"""Weights beyond which a matrix is swept in parts: its channels do not depend on each other, and memory is bounded."""

PART_ROWS = 64
"""Channels that a part has a multiple of, so that no table of several channels is torn."""


def feed_back(weight: Any, grids: Sequence[Grid], moments: Moments) -> tuple[Grid, ...]:
    """Return each of `grids` (of one weight, scales and tables kept) with the codes of least error in the output.

    Output channel r belongs to group r // (channels / groups) of the moments. Frantar et al. 2022, GPTQ: the error of a
    column, weighed by the Cholesky factor of the inverse moments, is taken off the columns that follow, in the order of
    falling energy. Grids share a pass, up to TOGETHER.
    """
    import torch

    flat = weight.detach().float().movedim(grids[0].channel_axis, 0)
    moved = flat.shape
    flat = flat.reshape(len(flat), -1)
    factor, order = _factor(moments)
    least = [float(grid.codes.min()) for grid in grids]
    step = max(PART_ROWS, PART // flat.shape[1] // PART_ROWS * PART_ROWS) if len(order) == 1 else len(flat)
    codes: list[list[Any]] = [[] for _ in grids]
    for start in range(0, len(flat), step):
        rows = slice(start, min(len(flat), start + step))
        made = _fed(flat[rows], [_rows_of(grid, rows) for grid in grids], least, factor, order)
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
    whole = _columns_first(_ordered(flat, order), groups)
    made: dict[int, Any] = {}
    for parts in _batches(grids, max(1, TOGETHER // flat.numel())):
        rounders, start = [], 0
        for kind, chosen in parts:
            run = slice(start, start := start + len(chosen))
            rounders.append((run, kind([grids[n] for n in chosen], [least[n] for n in chosen], order, channels)))
        codes = _sweep(whole.repeat(start, 1, 1, 1), factor, rounders)
        for place, found in zip([n for _, chosen in parts for n in chosen], codes, strict=True):
            back = torch.empty(groups, channels // groups, k, dtype=grids[place].codes.dtype)
            back.scatter_(2, order.unsqueeze(1).expand_as(back), found.transpose(1, 2).to(back.dtype))
            made[place] = back.reshape(flat.shape)
    return [made[n] for n in sorted(made)]


def _rows_of(grid: Grid, rows: slice) -> Grid:
    """Scales and tables of some of the grid's channels."""
    channels = grid.shape[grid.channel_axis]
    scale, table = grid.scale, grid.table
    if scale is not None and len(scale) == channels:
        scale = scale[rows]
    if table is not None and len(table) > 1:
        each = channels // len(table)
        table = table[rows.start // each : rows.stop // each]
    return replace(grid, scale=scale, table=table)


def _ordered(rows: Any, order: Any) -> Any:
    """[channels, k] → the same, each group's columns in its `order` ([groups, k])."""
    grouped = rows.reshape(order.shape[0], -1, order.shape[1])
    return grouped.gather(2, order.unsqueeze(1).expand_as(grouped)).reshape(rows.shape)


def _columns_first(rows: Any, groups: int) -> Any:
    """[channels, n] → [groups, n, channels / groups], so that what the sweep touches at a time lies together."""
    return rows.reshape(groups, -1, rows.shape[1]).transpose(1, 2).contiguous()


def regularise(moments: Moments, order: Any) -> Any:
    """Return the moments in float64, drawn towards their diagonal by their noise, and damped; inputs in `order` ([groups, k])."""
    import torch

    found = moments.value.gather(1, order.unsqueeze(2).expand_as(moments.value))
    found = found.gather(2, order.unsqueeze(1).expand_as(found))
    dense = found.to(torch.float64, copy=True).mul_(1 - moments.noise)
    dense.diagonal(dim1=1, dim2=2).copy_(_damped(moments).gather(1, order))
    return dense


def _damped(moments: Moments) -> Any:
    """The diagonal of the regularised moments, float64 [groups, k]."""
    energy = moments.value.diagonal(dim1=1, dim2=2).double()
    return energy + DAMPING * energy.mean(1, keepdim=True).clamp(min=1e-12)


def _factor(moments: Moments) -> tuple[Any, Any]:
    """Upper Cholesky factor of the inverse, and the order of its columns, that of falling energy.

    Of moments = R Rᵀ with R upper it is R⁻¹. Both are had backwards, as lower matrices: of moments in rising order. Computed in
    float64, of which at most two copies are held.
    """
    import torch

    order = _damped(moments).argsort(dim=1, descending=True, stable=True)
    found = torch.linalg.cholesky(regularise(moments, order.flip(1)))
    _invert(found)
    return found.float().flip(1, 2), order


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
    below.copy_(last @ below @ first).neg_()


def _sweep(work: Any, factor: Any, rounders: Sequence[tuple[slice, _Rounder]]) -> Any:
    """Round `work` ([grids, groups, k, channels per group]) column by column; return the codes in its shape (int16)."""
    import torch

    grids, groups, k, channels = work.shape
    codes = torch.empty(work.shape, dtype=torch.int16)
    diagonal = factor.diagonal(dim1=1, dim2=2).unsqueeze(2)  # [groups, k, 1]
    for start in range(0, k, BLOCK):
        stop = min(k, start + BLOCK)
        errors = torch.empty(grids, groups, stop - start, channels)
        for i in range(start, stop):
            value, error = work[:, :, i], errors[:, :, i - start]
            for chosen, round_ in rounders:
                round_(value[chosen], i, codes[chosen, :, i], error[chosen])
            torch.sub(value, error, out=error).div_(diagonal[:, i])
            if i + 1 < stop:
                work[:, :, i + 1 : stop].addcmul_(factor[:, i, i + 1 : stop].unsqueeze(2), error.unsqueeze(2), value=-1)
        if stop < k:
            rest = factor[:, start:stop, stop:].transpose(1, 2)
            for one, theirs in zip(work, errors, strict=True):  # one product each: company must not change the rounding
                one[:, stop:].baddbmm_(rest, theirs, alpha=-1)
    return codes


class _Rounder(Protocol):
    """Rounds `value` ([grids, groups, channels], column `column` of the sweep) into `codes` and what these stand for."""

    def __init__(self, grids: Sequence[Grid], least: Sequence[float], order: Any, channels: int) -> None: ...

    def __call__(self, value: Any, column: int, codes: Any, rounded: Any) -> None: ...


def _batches(grids: Sequence[Grid], most: int) -> Iterator[list[tuple[type[_Rounder], list[int]]]]:
    """Which grids, at most `most`, share a sweep, and what rounds them: integers, and palettes of equally many tables."""
    def tables(n: int) -> int:
        return 0 if grids[n].table is None else int(grids[n].table.shape[0])

    ordered = sorted(range(len(grids)), key=tables)
    for start in range(0, len(ordered), most):
        kinds = groupby(ordered[start : start + most], tables)
        yield [(_Tables if count else _Integers, list(chosen)) for count, chosen in kinds]


class _Integers:
    """Symmetric integers of given scales."""

    def __init__(self, grids: Sequence[Grid], least: Sequence[float], order: Any, channels: int) -> None:
        import torch

        ordered = [_columns_first(_ordered_scale(grid, order, channels), order.shape[0]) for grid in grids]
        self.wide = any(scale.shape[1] > 1 for scale in ordered)
        self.scale = torch.stack([scale.expand(-1, order.shape[1] if self.wide else 1, -1) for scale in ordered])
        self.most = torch.tensor([2.0 ** (grid.scheme.bits - 1) - 1 for grid in grids]).reshape(-1, 1, 1)
        self.least = torch.tensor(least).reshape(-1, 1, 1).minimum(-self.most)

    def __call__(self, value: Any, column: int, codes: Any, rounded: Any) -> None:
        import torch

        scale = self.scale[:, :, column if self.wide else 0]
        torch.div(value, scale, out=rounded)
        codes.copy_(rounded.round_().clamp_(self.least, self.most))
        rounded.mul_(scale)


def _ordered_scale(grid: Grid, order: Any, channels: int) -> Any:
    """The scale of every weight, columns in the order of the sweep: [channels, k], or [channels, 1] where all are alike."""
    whole = grid.scale.expand(channels, -1)
    if whole.shape[1] == 1:
        return whole
    return _ordered(whole.repeat_interleave(order.shape[1] // whole.shape[1], dim=1), order)


class _Tables:
    """Lookup tables, equally many per grid, times a scale per channel or group of weights where there is one."""

    def __init__(self, grids: Sequence[Grid], least: Sequence[float], order: Any, channels: int) -> None:
        import torch

        tables, longest = grids[0].table.shape[0], max(g.table.shape[1] for g in grids)
        filled = [torch.nn.functional.pad(g.table, (0, longest - g.table.shape[1]), value=float("inf")) for g in grids]
        self.table = torch.stack(filled)
        self.middle = ((self.table[..., 1:] + self.table[..., :-1]) / 2).contiguous()
        scales = [torch.ones(channels, 1) if grid.scale is None else _ordered_scale(grid, order, channels) for grid in grids]
        wide = any(scale.shape[1] > 1 for scale in scales)
        ordered = [_columns_first(scale.expand(-1, order.shape[1] if wide else 1), order.shape[0]) for scale in scales]
        self.scale = torch.stack(ordered)
        self.wide = wide
        self.shape = (len(grids), tables, channels // tables)

    def __call__(self, value: Any, column: int, codes: Any, rounded: Any) -> None:
        import torch

        scale = self.scale[:, :, column if self.wide else 0]
        found = torch.searchsorted(self.middle, (value / scale).reshape(self.shape))
        codes.copy_(found.reshape(codes.shape))
        torch.mul(self.table.gather(2, found).reshape(value.shape), scale, out=rounded)
