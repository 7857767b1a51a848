"""Fits the scales or the table of a rounded weight again, its codes given: least squares in the metric of the layer's output."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sdk.rounding.columns import parts_of, rows_of
from sdk.rounding.grid import Grid
from sdk.rounding.round import exact_scale

FEW = 16
"""Levels up to which a table is fitted again: each costs a product with the moments, and many leave little to gain."""

RIDGE = 1e-4
"""Share of an unknown's own curvature, and of all unknowns' mean, that is added to it: what no code uses stays where it is."""


def refitted(flat: Any, grid: Grid, products: Any, counts: Any) -> Grid:
    """Return `grid` with scales, and then a table of FEW levels, of least error (w-ŵ)ᵀ·`products`·(w-ŵ) over its channels.

    `flat`: the float weight, [channels, k]; `products` [groups, k, k]; `counts` [channels] weighs the channels that share a
    table (None: all alike). What the format rounds a solution to is taken where its error is no larger.
    """
    import torch

    if grid.scale is not None and len(grid.scale) == len(flat):
        found = [_scales(flat[rows], rows_of(grid, rows), products) for rows in parts_of(flat, len(products))]
        grid = replace(grid, scale=torch.cat(found))
    if grid.table is None or grid.table.shape[1] > FEW:
        return grid
    weights = torch.ones(len(flat)) if counts is None else counts
    sums = [_sums(flat[rows], rows_of(grid, rows), products, weights[rows]) for rows in parts_of(flat, len(products))]
    if len(grid.table) > 1:
        curved, wanted = (torch.cat(parts) for parts in zip(*sums, strict=True))
    else:
        curved, wanted = (sum(parts[1:], parts[0]) for parts in zip(*sums, strict=True))
    return replace(grid, table=_better(grid.table, curved, wanted, lambda value: value.half().float().sort(dim=1).values))


def _scales(flat: Any, grid: Grid, products: Any) -> Any:
    """The scales [channels, blocks] of some channels."""
    import torch

    groups, k = products.shape[:2]
    blocks = grid.scale.shape[1]
    levels = replace(grid, scale=torch.ones_like(grid.scale)).dequantize().reshape(groups, -1, k)

    def by_block(values: Any) -> Any:
        return (values * levels).reshape(len(flat), blocks, -1).sum(2)

    wanted = by_block(flat.reshape(groups, -1, k) @ products)
    curved = torch.empty(len(flat), blocks, blocks)
    size = k // blocks
    for block in range(blocks):
        part = slice(block * size, block * size + size)
        curved[:, block] = by_block(levels[:, :, part] @ products[:, part])
    grouped = grid.scheme.granularity == "group"
    return _better(grid.scale, curved, wanted, _signed if grid.table is not None else lambda value: exact_scale(value, grouped))


def _signed(scale: Any) -> Any:
    """Scales of palettes as they are stored: float16 of either sign, never zero."""
    import torch

    return torch.where(scale < 0, -exact_scale(-scale, False), exact_scale(scale, False))


def _sums(flat: Any, grid: Grid, products: Any, counts: Any) -> tuple[Any, Any]:
    """The normal equations of the tables of some channels: [tables, levels, levels] and [tables, levels]."""
    import torch

    groups, k = products.shape[:2]
    tables, levels = grid.table.shape
    codes = grid.codes.long()
    spread = torch.ones(len(flat), 1) if grid.scale is None else grid.scale.repeat_interleave(k // grid.scale.shape[1], dim=1)
    goal = (flat.reshape(groups, -1, k) @ products).reshape(flat.shape) * spread
    curved, wanted = torch.zeros(len(flat), levels, levels), torch.zeros(len(flat), levels)
    wanted.scatter_add_(1, codes, goal)
    for level in range(levels):
        used = ((codes == level) * spread).reshape(groups, -1, k)
        curved[:, level].scatter_add_(1, codes, (used @ products).reshape(flat.shape) * spread)
    by_table = (tables, len(flat) // tables)
    curved, wanted = curved * counts.reshape(-1, 1, 1), wanted * counts.unsqueeze(1)
    return curved.reshape(*by_table, levels, levels).sum(1), wanted.reshape(*by_table, levels).sum(1)


def _better(now: Any, curved: Any, wanted: Any, stored: Any) -> Any:
    """The `stored` solution x of `curved` x = `wanted` (a system per row of `now`), or `now` where that has less error."""
    import torch

    curved, wanted, start = curved.double(), wanted.double(), now.double()
    own = curved.diagonal(dim1=1, dim2=2)
    damping = RIDGE * own + RIDGE**2 * own.mean(1, keepdim=True) + 1e-300

    def left(x: Any) -> Any:
        return ((curved @ x.unsqueeze(2)).squeeze(2) * x).sum(1) - 2 * (wanted * x).sum(1)

    change = torch.linalg.solve(curved + torch.diag_embed(damping), wanted - (curved @ start.unsqueeze(2)).squeeze(2))
    found = stored((start + change).float())
    return torch.where((left(found.double()) < left(start)).unsqueeze(1), found, now)
