"""Fits lookup tables (palettes) to weights: weighted one-dimensional k-means."""

from __future__ import annotations

from typing import Any

from sdk.schemes import Scheme

ITERATIONS = 12
SAMPLES = 1 << 15
"""Points per table that the centroids are fitted on; the rest are only assigned."""


def fit_palette(flat: Any, cost: Any, scheme: Scheme) -> tuple[Any, Any, Any]:
    """Return codes (uint8, [channels, rest]), tables ([tables, 2^bits]) and channel scales ([channels, 1] or None).

    Tables and scales are exact in float16.
    """
    scale = None
    if scheme.channel_scale:
        scale = flat.abs().amax(1, keepdim=True)
        scale = scale.half().float().clamp(min=2.0**-24)  # an all-zero channel: any table times almost nothing
        flat, cost = flat / scale, cost * scale.square()
    count = flat.shape[0] // scheme.group if scheme.granularity == "group" else 1
    values, costs = flat.reshape(count, -1), cost.reshape(count, -1)
    table = _lloyd(*_subset(values, costs), 2**scheme.bits)
    codes = _assign(values, table)
    return codes.reshape(flat.shape), table, scale


def _subset(values: Any, costs: Any) -> tuple[Any, Any]:
    """Every n-th value of the sorted row, with the costs of what it stands for."""
    step = -(-values.shape[1] // SAMPLES)
    ordered, order = values.sort(dim=1)
    costs = costs.gather(1, order)
    if step == 1:
        return ordered, costs
    whole = ordered.shape[1] // step * step
    shape = (values.shape[0], -1, step)
    weights = costs[:, :whole].reshape(shape)
    means = (ordered[:, :whole].reshape(shape) * weights).sum(2) / weights.sum(2).clamp(min=1e-30)
    return means, weights.sum(2)


def _lloyd(points: Any, costs: Any, size: int) -> Any:
    """Weighted k-means of sorted rows `points` ([tables, n]); returns ascending centroids in float16 precision."""
    import torch

    rows, n = points.shape
    density = (costs.double().clamp(min=0) ** (1 / 3)).cumsum(1)  # quantiles of density^(1/3): Panter and Dite 1951
    ranks = (torch.arange(size, dtype=torch.float64) + 0.5) / size * density[:, -1:]
    start = torch.searchsorted(density, ranks.contiguous()).clamp(max=n - 1)
    line = torch.linspace(0, 1, size).expand(rows, -1) * (points[:, -1:] - points[:, :1]) + points[:, :1]
    table = (0.5 * points.gather(1, start) + 0.5 * line).sort(dim=1).values
    mass, moment = (costs.double(), (costs * points).double())
    zero = torch.zeros(rows, 1, dtype=torch.float64)
    mass_sum, moment_sum = (torch.cat([zero, t.cumsum(1)], 1) for t in (mass, moment))
    for _ in range(ITERATIONS):
        middle = ((table[:, 1:] + table[:, :-1]) / 2).contiguous()
        cut = torch.searchsorted(points.contiguous(), middle)
        edges = torch.cat([torch.zeros(rows, 1, dtype=cut.dtype), cut, torch.full((rows, 1), n, dtype=cut.dtype)], 1)
        weight = mass_sum.gather(1, edges).diff(dim=1)
        total = moment_sum.gather(1, edges).diff(dim=1)
        table = torch.where(weight > 1e-30, total / weight.clamp(min=1e-30), table.double()).float().sort(dim=1).values
    return table.half().float()


def _assign(values: Any, table: Any) -> Any:
    """Index of the nearest table entry, uint8."""
    import torch

    middle = ((table[:, 1:] + table[:, :-1]) / 2).contiguous()
    return torch.searchsorted(middle, values.contiguous()).to(torch.uint8)
