"""Columns of a weight that are rounded one after the other: which lie together, and what they may be rounded to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from sdk.rounding.grid import Grid

BLOCK = 32
"""Columns between two updates of all the columns that are left."""

PART = 1 << 19
"""Weights beyond which a matrix is swept in parts: its channels do not depend on each other, and memory is bounded."""

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


class Levels(NamedTuple):
    """What the columns of a weight may be rounded to, as arrays in the order of the sweep (see `sdk.rounding.kernels`).

    `scale` is [groups, blocks, channels per group], of column i that of `block` i ([groups, k]). Integers lie between `least` and
    `most`, and have no `table`; of a palette `table` is [tables, levels], each for so many channels (`each`), and `middle` has
    what lies between its neighbours.
    """

    scale: Any
    block: Any
    least: Any
    most: Any
    table: Any
    middle: Any
    each: int


def levels_of(grid: Grid, least: float, order: Any, channels: int) -> Levels:
    """The levels of `grid`, which has `channels` of a weight whose least code is `least`; `order` [groups, k] of the columns."""
    import numpy as np
    import torch

    scale = torch.ones(1, 1) if grid.scale is None else grid.scale
    block = (order // (order.shape[1] // scale.shape[1])).numpy()
    scale = columns_first(scale.expand(channels, -1), len(order)).numpy()
    if grid.table is None:
        most, no_table = 2 ** (grid.scheme.bits - 1) - 1, np.empty((0, 0), np.float32)
        return Levels(scale, block, np.float32(min(least, -most)), np.float32(most), no_table, no_table, 1)
    table, unbounded = grid.table.contiguous(), np.float32(0)
    middle = ((table[:, 1:] + table[:, :-1]) / 2).numpy()
    return Levels(scale, block, unbounded, unbounded, table.numpy(), middle, channels // len(table))
