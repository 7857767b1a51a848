"""Fits lookup tables (palettes) to weights: weighted one-dimensional k-means."""

from __future__ import annotations

from typing import Any

from sdk.rounding.lattice import LEAST_SCALE
from sdk.schemes import Scheme

ITERATIONS, SPREADS = 12, (0.5, 0.1, 0.02)
"""Rounds of k-means, and shares of an even spread in the centroids that it starts from: outliers make a large one too coarse."""
SAMPLES, TAIL = 1 << 15, 1 << 11
"""Points per table that the centroids are fitted on, and how many of them at either end are single weights: an outlier that
shares a point with lesser ones gets no centroid near it."""
SOME = 1 << 17
"""Weights of a table's that are worked on at once: what takes their place is all that is held beside them."""


class Palettes:
    """Fits palettes to one weight; what the widths of one partition into tables share is made once.

    `flat` is [channels, rest], `cost` (same shape) weighs the squared error of each element.
    """

    def __init__(self, flat: Any, cost: Any) -> None:
        self._flat, self._cost = flat, cost
        self._made: dict[tuple[int, int], _Points] = {}

    def fit(self, scheme: Scheme, table: Any = None) -> tuple[Any, Any, Any]:
        """Return codes (uint8, [channels, rest]), tables ([tables, 2^bits]) and scales ([channels, groups] or None).

        Tables and scales are exact in float16. A `table` that is given is not fitted again.
        """
        count = self._flat.shape[0] // scheme.group if scheme.granularity == "group" else 1
        groups = self._flat.shape[1] // scheme.scale_group if scheme.scale_group else int(scheme.channel_scale)
        key = (groups, count)
        scale = _scale(self._flat, groups) if groups else None
        blocks = (self._flat.shape[0], max(1, groups), -1)
        flat = self._flat if scale is None else self._flat.reshape(blocks) / scale.unsqueeze(2)
        if table is None and key not in self._made:
            cost = self._cost if scale is None else self._cost.reshape(blocks) * scale.unsqueeze(2).square()
            self._made[key] = _Points(*_subset(flat.reshape(count, -1), cost.reshape(count, -1)))
        table = self._made[key].lloyd(2**scheme.bits) if table is None else table
        return _assign(flat.reshape(count, -1), table).reshape(self._flat.shape), table, scale


def _scale(flat: Any, groups: int) -> Any:
    """Largest magnitude of each channel's `groups` parts; of an all-zero one almost nothing, so that any table will do."""
    return flat.abs().reshape(flat.shape[0], groups, -1).amax(2).half().float().clamp(min=LEAST_SCALE)


def _subset(values: Any, costs: Any) -> tuple[Any, Any]:
    """The sorted row, with the costs: the TAIL least and greatest values as they are, of those between means of a few."""
    import torch

    order = _order(values)
    count = order.shape[1]

    def taken(places: Any) -> tuple[Any, Any]:
        return values.gather(1, places), costs.gather(1, places)

    if count <= SAMPLES:
        return taken(order)
    step = -(-(count - 2 * TAIL) // (SAMPLES - 2 * TAIL))
    stop = TAIL + (count - 2 * TAIL) // step * step
    points = [taken(order[:, :TAIL])]
    for some in order[:, TAIL:stop].split(TAIL * step, dim=1):
        value, weight = (each.reshape(len(order), -1, step) for each in taken(some))
        points.append(((value * weight).sum(2) / weight.sum(2).clamp(min=1e-30), weight.sum(2)))
    every, weights = zip(*points, taken(order[:, stop:]), strict=True)
    return torch.cat(every, 1), torch.cat(weights, 1)


def _order(values: Any) -> Any:
    """Places of each row's `values` (float32) in rising order, of equal ones the first first.

    As integers that hold a value's bits and, below them, its place: those are sorted where they are, and several times faster.
    """
    import torch

    bits = values.contiguous().view(torch.int32)
    packed = torch.empty(bits.shape, dtype=torch.int64)
    for start in range(0, bits.shape[1], SOME):
        some, into = (each[:, start : start + SOME] for each in (bits, packed))
        into.copy_(some ^ ((some >> 31) & 0x7FFFFFFF)).bitwise_left_shift_(32).add_(torch.arange(start, start + some.shape[1]))
    packed.numpy().sort(axis=1)
    return packed.bitwise_and_(0xFFFFFFFF)


class _Points:
    """Sorted rows `points` ([tables, n]) with `costs`, and their running sums."""

    def __init__(self, points: Any, costs: Any) -> None:
        import torch

        self._points = points.contiguous()
        self._density = (costs.double().clamp(min=0) ** (1 / 3)).cumsum(1)
        zero = torch.zeros(points.shape[0], 1, dtype=torch.float64)
        self._mass, self._moment = (torch.cat([zero, t.double().cumsum(1)], 1) for t in (costs, costs * points))

    def lloyd(self, size: int) -> Any:
        """Weighted k-means from several starts: return `size` ascending centroids per row, in float16 precision."""
        import torch

        found = [self._refined(self._start(size, spread)) for spread in SPREADS]
        best = torch.stack([explained for _, explained in found]).argmax(0)
        return torch.stack([table for table, _ in found])[best, torch.arange(len(best))].half().float()

    def _refined(self, table: Any) -> tuple[Any, Any]:
        """The centroids after ITERATIONS, and the weighted square that they explain, by row."""
        import torch

        rows, n = self._points.shape
        for _ in range(ITERATIONS + 1):
            middle = ((table[:, 1:] + table[:, :-1]) / 2).contiguous()
            cut = torch.searchsorted(self._points, middle)
            edges = torch.cat([torch.zeros(rows, 1, dtype=cut.dtype), cut, torch.full((rows, 1), n, dtype=cut.dtype)], 1)
            weight = self._mass.gather(1, edges).diff(dim=1)
            total = self._moment.gather(1, edges).diff(dim=1)
            mean = total / weight.clamp(min=1e-30)
            table = torch.where(weight > 1e-30, mean, table.double()).float().sort(dim=1).values
        return table, (mean * total).sum(1)

    def _start(self, size: int, spread: float) -> Any:
        """Between quantiles of density^(1/3) (Panter and Dite 1951) and an even spread, of which it takes a share."""
        import torch

        points, density = self._points, self._density
        ranks = (torch.arange(size, dtype=torch.float64) + 0.5) / size * density[:, -1:]
        start = torch.searchsorted(density, ranks.contiguous()).clamp(max=points.shape[1] - 1)
        line = torch.linspace(0, 1, size).expand(points.shape[0], -1) * (points[:, -1:] - points[:, :1]) + points[:, :1]
        return ((1 - spread) * points.gather(1, start) + spread * line).sort(dim=1).values


def _assign(values: Any, table: Any) -> Any:
    """Index of the nearest table entry, uint8."""
    import torch

    middle = ((table[:, 1:] + table[:, :-1]) / 2).contiguous()
    found = torch.empty(values.shape, dtype=torch.uint8)
    for some, into in zip(values.split(SOME, dim=1), found.split(SOME, dim=1), strict=True):
        into.copy_(torch.searchsorted(middle, some.contiguous(), out_int32=True))
    return found
