"""What calibration says about a model's weights, as far as rounding uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean of x xᵀ of one layer's input over `samples` calibration samples of `rows` input rows in all.

    `value` is [groups, k, k], k inputs per output channel. `squares` is the sum over the samples of the squares off the
    diagonal of each one's own mean.
    """

    value: Any = field(repr=False)
    samples: int
    rows: int
    squares: float

    @property
    def noise(self) -> float:
        """The share (0 to 1) of the correlations between inputs that the samples do not support.

        It is the larger of two: the intensity towards the diagonal of Ledoit and Wolf 2004 (a well-conditioned
        estimator for large covariance matrices) with samples as observations, since the rows of one are alike; and
        k / (k + rows), for inputs that share one strong direction, which that intensity mistakes for knowledge.
        """
        k, size = self.value.shape[1], off_diagonal(self.value)
        if self.samples < 2 or size == 0:
            return 1.0
        spread = max(0.0, self.squares - self.samples * size) / (self.samples * (self.samples - 1))
        return float(min(1.0, max(spread / size, k / (k + self.rows))))

    def __add__(self, other: Moments) -> Moments:
        samples = self.samples + other.samples
        value = (self.value * self.samples).add_(other.value, alpha=other.samples).div_(samples)
        return Moments(value, samples, self.rows + other.rows, self.squares + other.squares)


def off_diagonal(value: Any) -> float:
    """Sum of the squares off the diagonal."""
    every = sum(float(some.double().square_().sum()) for some in value.flatten().split(SOME))
    return every - float(value.diagonal(dim1=1, dim2=2).double().square().sum())


SOME = 1 << 18
"""Numbers that are widened to float64 at once."""

ENERGY = 0.2
"""Share that the energy of its input has in a weight's importance, both relative to their means."""


def weigh(importance: Any, energy: Any, weight: Any, channel_axis: int) -> Any:
    """Return `importance` (None: all alike) with a share of ENERGY of the input's `energy` (see `Statistics`), like `weight`.

    Both are in units of their means. Gradients say what a small change of a weight costs. An outlier that gets no place on the
    grid changes much, and a norm behind the layer hides that from them; the energy of the input does not.
    """
    import torch

    mean, shape = float(energy.mean()), weight.movedim(channel_axis, 0).shape
    relative = (energy / mean if mean > 0 else torch.ones_like(energy)).unsqueeze(1)  # one row for all channels of a group
    grouped = (len(energy), shape[0] // len(energy), energy.shape[1])
    average = 0.0 if importance is None else float(importance.float().mean())
    if average <= 0:
        return relative.expand(grouped).reshape(shape).movedim(0, channel_axis)
    total = importance.movedim(channel_axis, 0).to(torch.float32, copy=True).reshape(grouped)
    return total.div_(average).add_(relative, alpha=ENERGY).reshape(shape).movedim(0, channel_axis)


Part = Mapping[str, Moments]
"""Layer name → moments of its input over one part of the calibration samples."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """`importance`: weight name → diagonal Fisher, of the weight's shape; `parts`: moments of the layers' inputs.

    A weight without importance is rounded with equal weights, a layer without moments without error feedback.
    """

    importance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)
    energies: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Layer name → what `energy` returns, where it is known without the moments."""

    def moments(self, layer: str) -> Moments | None:
        """Return the moments of the layer's input over all samples, or None."""
        found = self.of_parts(layer)
        return sum(found[1:], found[0]) if found else None

    def energy(self, layer: str) -> Any:
        """Return the mean square of each input of the layer over all samples ([groups, k]), or None."""
        if layer in self.energies:
            return self.energies[layer]
        total, samples = None, 0
        for part in self.parts:
            if layer in part:
                found = part[layer]
                own = found.value.diagonal(dim1=1, dim2=2) * found.samples
                total, samples = own if total is None else total + own, samples + found.samples
        return None if total is None else total / samples

    def of_parts(self, layer: str) -> tuple[Moments, ...]:
        """Return the moments of the layer's input over each part of the samples that there is."""
        return tuple(part[layer] for part in self.parts if layer in part)
