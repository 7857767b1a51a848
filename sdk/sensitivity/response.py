"""What a loss is of changes that are not small: the sum of the layers' losses to second order → the loss that comes of it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

PROBABLE = ("kl", "kl_probabilities")
"""Losses that are divergences of probabilities."""

LEAST, MOST, PER_DOUBLING = -4, 6, 4
"""Noise on the logits: standard deviations from 2^LEAST to 2^MOST, so many for each doubling."""

NUMBERS = 1_000_000
"""Logits that are looked at per noise, all draws together; of more rows some, evenly spread."""

ULPS = 64


@dataclass(frozen=True, slots=True)
class Response:
    """Points (sum of the layers' losses, loss), both rising, straight lines between their logarithms; without any: loss = sum."""

    sums: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()

    def loss(self, total: float) -> float:
        """Return the loss of a sum; in its unit."""
        if not self.sums or not 0 < total < math.inf:
            return total
        left, slope = self._piece(self.sums, total)
        return self.losses[left] * math.pow(total / self.sums[left], slope)

    def total(self, loss: float) -> float:
        """Return the largest sum (to within some units in the last place) whose loss is not above `loss`."""
        if not self.sums or not 0 < loss < math.inf:
            return loss
        left, slope = self._piece(self.losses, loss)
        found = self.sums[left] * math.pow(loss / self.losses[left], 1 / slope)
        for _ in range(ULPS):
            if self.loss(found) <= loss:
                break
            found = math.nextafter(found, 0.0)
        for _ in range(ULPS):
            if self.loss(math.nextafter(found, math.inf)) > loss:
                break
            found = math.nextafter(found, math.inf)
        return found

    def slope(self, total: float) -> float:
        """Return how much the loss rises with the sum."""
        if not self.sums or not 0 < total < math.inf:
            return 1.0
        return self._piece(self.sums, total)[1] * self.loss(total) / total

    def _piece(self, along: Sequence[float], value: float) -> tuple[int, float]:
        """The point left of `value` and the slope of the logarithms from there; outside of the points it is 1."""
        right = bisect_left(along, value)
        if right == 0 or right == len(along):
            return (0 if right == 0 else right - 1), 1.0
        rise = math.log(self.losses[right] / self.losses[right - 1])
        return right - 1, rise / math.log(self.sums[right] / self.sums[right - 1])


def response(loss: str, outputs: Iterable[Sequence[Any]]) -> Response:
    """Return the response of `loss` on the float model's `outputs`, one sequence of tensors per sample.

    Scores are quadratic in the change, and so are `mse` and, nearly, `cosine`. The divergence of a softmax that is sure of itself
    is not: its curvature vanishes with p (1 - p), and a change of some nats of logits finds it where it is not flat. Rounding
    errors of many layers reach the logits as noise, so the divergence is measured under normal noise of one size on all of
    them, next to what the curvature alone makes of the same noise. Along a ray from the logits it is convex and least at
    their own place, so it rises with the noise.
    """
    if loss not in PROBABLE:
        return Response()
    logits = [_some(rows) for rows in _logits(loss, outputs)]
    if not logits:
        return Response()
    points = [_under(logits, 2.0 ** (LEAST + step / PER_DOUBLING)) for step in range((MOST - LEAST) * PER_DOUBLING + 1)]
    rising: list[tuple[float, float]] = []
    for point in points:
        if all(math.isfinite(each) and each > 1e-300 for each in point) and (not rising or point[1] > rising[-1][1]):
            rising.append(point)
    return Response(tuple(a for a, _ in rising), tuple(b for _, b in rising))


def _logits(loss: str, outputs: Iterable[Sequence[Any]]) -> list[Any]:
    """Rows of logits of each output that is of floats, over all samples."""
    import torch

    rows: dict[int, list[Any]] = {}
    for sample in outputs:
        for place, value in enumerate(sample):
            if value.is_floating_point():
                found = value.detach().reshape(-1, value.shape[-1] if value.dim() else 1).double()
                rows.setdefault(place, []).append(found if loss == "kl" else found.clamp(min=1e-9).log())
    return [torch.cat(found) for found in rows.values()]


def _some(rows: Any) -> Any:
    """Some of the rows or all of them, as often as they fit into NUMBERS."""
    import torch

    wanted = max(1, NUMBERS // rows.shape[1])
    if wanted < len(rows):
        return rows[torch.arange(wanted) * len(rows) // wanted]
    return rows.repeat(min(wanted // len(rows), 64), 1)


def _under(logits: Sequence[Any], deviation: float) -> tuple[float, float]:
    """What noise of the standard deviation costs by curvature, and really; the same noise for every deviation."""
    import torch

    generator, quadratic, real = torch.Generator().manual_seed(0), 0.0, 0.0
    for rows in logits:
        noise = deviation * torch.randn(rows.shape, generator=generator, dtype=torch.float64)
        log_p = torch.log_softmax(rows, 1)
        p = log_p.exp()
        mean = (p * noise).sum(1, keepdim=True)
        quadratic += float((p * (noise - mean).square()).sum(1).mean()) / 2 / len(logits)
        real += float((torch.logsumexp(log_p + noise, 1, keepdim=True) - mean).mean()) / len(logits)
    return quadratic, real
