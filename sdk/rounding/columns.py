"""Columns of a weight that are rounded one after the other: which lie together, and the rounder of each kind of grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Protocol

from sdk.rounding.grid import Grid

BLOCK = 32
"""Columns between two updates of all the columns that are left."""

PART = 1 << 25
"""Weights beyond which a matrix is swept in parts: its channels do not depend on each other, and memory is bounded."""

TOGETHER = 1 << 20
"""Weights times grids that are swept at once."""

PART_ROWS = 64
"""Channels that a part has a multiple of, so that no table of several channels is torn."""


def parts_of(flat: Any, groups: int) -> Iterator[slice]:
    """The channels of a weight ([channels, k]; `groups` of moments) that are swept at a time."""
    step = max(PART_ROWS, PART // flat.shape[1] // PART_ROWS * PART_ROWS) if groups == 1 else len(flat)
    for start in range(0, len(flat), step):
        yield slice(start, min(len(flat), start + step))


def rows_of(grid: Grid, rows: slice) -> Grid:
    """Some of the grid's channels, as a matrix of their own ([channels, k])."""
    channels = grid.shape[grid.channel_axis]
    codes = grid.codes.movedim(grid.channel_axis, 0).reshape(channels, -1)[rows]
    scale, table = grid.scale, grid.table
    if scale is not None and len(scale) == channels:
        scale = scale[rows]
    if table is not None and len(table) > 1:
        each = channels // len(table)
        table = table[rows.start // each : rows.stop // each]
    return replace(grid, shape=tuple(codes.shape), channel_axis=0, codes=codes, scale=scale, table=table)


def in_order(rows: Any, order: Any) -> Any:
    """[channels, k] → the same, each group's columns in its `order` ([groups, k])."""
    grouped = rows.reshape(order.shape[0], -1, order.shape[1])
    return grouped.gather(2, order.unsqueeze(1).expand_as(grouped)).reshape(rows.shape)


def columns_first(rows: Any, groups: int) -> Any:
    """[channels, n] → [groups, n, channels / groups], so that what the sweep touches at a time lies together."""
    return by_column(rows, groups).contiguous()


def by_column(rows: Any, groups: int) -> Any:
    """[channels, n] → a view of it as [groups, n, channels / groups]."""
    return rows.reshape(groups, -1, rows.shape[1]).transpose(1, 2)


class Rounder(Protocol):
    """Rounds `value` ([grids, groups, channels], column `column` of the sweep) into `codes` and what these stand for."""

    def __init__(self, grids: Sequence[Grid], least: Sequence[float], order: Any, channels: int) -> None: ...

    def __call__(self, value: Any, column: int, codes: Any, rounded: Any) -> None: ...


class Integers:
    """Symmetric integers of given scales."""

    def __init__(self, grids: Sequence[Grid], least: Sequence[float], order: Any, channels: int) -> None:
        import torch

        ordered = [columns_first(ordered_scale(grid, order, channels), order.shape[0]) for grid in grids]
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


def ordered_scale(grid: Grid, order: Any, channels: int) -> Any:
    """The scale of every weight, columns in the order of the sweep: [channels, k], or [channels, 1] where all are alike."""
    whole = grid.scale.expand(channels, -1)
    if whole.shape[1] == 1:
        return whole
    return in_order(whole.repeat_interleave(order.shape[1] // whole.shape[1], dim=1), order)


class Tables:
    """Lookup tables, equally many per grid, times a scale per channel or group of weights where there is one."""

    def __init__(self, grids: Sequence[Grid], least: Sequence[float], order: Any, channels: int) -> None:
        import torch

        tables, longest = grids[0].table.shape[0], max(g.table.shape[1] for g in grids)
        filled = [torch.nn.functional.pad(g.table, (0, longest - g.table.shape[1]), value=float("inf")) for g in grids]
        self.table = torch.stack(filled)
        self.middle = ((self.table[..., 1:] + self.table[..., :-1]) / 2).contiguous()
        scales = [torch.ones(channels, 1) if grid.scale is None else ordered_scale(grid, order, channels) for grid in grids]
        wide = any(scale.shape[1] > 1 for scale in scales)
        ordered = [columns_first(scale.expand(-1, order.shape[1] if wide else 1), order.shape[0]) for scale in scales]
        self.scale = torch.stack(ordered)
        self.wide = wide
        self.shape = (len(grids), tables, channels // tables)

    def __call__(self, value: Any, column: int, codes: Any, rounded: Any) -> None:
        import torch

        scale = self.scale[:, :, column if self.wide else 0]
        found = torch.searchsorted(self.middle, (value / scale).reshape(self.shape))
        codes.copy_(found.reshape(codes.shape))
        torch.mul(self.table.gather(2, found).reshape(value.shape), scale, out=rounded)


def rounders_of(
    grids: Sequence[Grid], least: Sequence[float], order: Any, channels: int
) -> Iterator[tuple[list[int], list[tuple[slice, Rounder]]]]:
    """Yield what is swept at once, up to TOGETHER: the places of its grids, and what rounds which of them.

    Integers share a rounder, and palettes of equally many tables. `least`: the whole weight's least code in each grid.
    """
    def tables(n: int) -> int:
        return 0 if grids[n].table is None else int(grids[n].table.shape[0])

    ordered = sorted(range(len(grids)), key=tables)
    most = max(1, TOGETHER // (channels * order.shape[1]))
    for start in range(0, len(ordered), most):
        places, rounders = ordered[start : start + most], list[tuple[slice, Rounder]]()
        for count, alike in groupby(range(len(places)), lambda i, places=places: tables(places[i])):  # type: ignore[misc]
            run = list(alike)
            kind, chosen = Tables if count else Integers, [places[i] for i in run]
            made = kind([grids[n] for n in chosen], [least[n] for n in chosen], order, channels)
            rounders.append((slice(run[0], run[-1] + 1), made))
        yield places, rounders
