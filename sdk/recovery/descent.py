"""The optimizer of recovery: Adam, with one second moment for all codes of a weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BETAS = (0.9, 0.99)
CAP = 5.0
"""Times the root mean square beyond which a single code's gradient counts no more."""


TINY = 1e-12
"""Root mean square below which a gradient counts as none."""


class Descent:
    """Steps of Kingma and Ba 2015, Adam, on tensors by name.

    `coded` tensors (the values behind codes, and their output channels) have a second moment per output channel and per input,
    whose product stands for that of an element (Shazeer and Stern 2018, Adafactor): what moves is then what the loss asks for
    most, but inputs of large activations, which the loss feels more, move no more than others. With a moment per element every
    code wanders equally far, and noise flips even those that matter little.
    """

    def __init__(self, coded: Mapping[str, tuple[Any, int]], single: Mapping[str, Any]) -> None:
        import torch

        self._channels = {name: channels for name, (_, channels) in coded.items()}
        self.tensors = {**{name: tensor for name, (tensor, _) in coded.items()}, **single}
        self.count = 0
        self.moments: dict[str, tuple[Any, ...]] = {
            name: (torch.zeros_like(tensor), torch.zeros_like(tensor)) for name, tensor in single.items()
        }
        for name, (tensor, channels) in coded.items():
            sides = torch.zeros(channels, 1), torch.zeros(1, tensor.numel() // channels)
            self.moments[name] = (torch.zeros_like(tensor), *sides)

    def observe(self) -> None:
        """Take the gradients into the moments, and forget them."""
        import torch

        self.count += 1
        first, second = BETAS
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                if tensor.grad is None:
                    continue
                mean, *squares = self.moments[name]
                mean.lerp_(tensor.grad, 1 - first)
                square = tensor.grad.square()
                if name in self._channels:
                    square = square.reshape(self._channels[name], -1)
                    for side, axis in zip(squares, (1, 0), strict=True):
                        side.lerp_(square.mean(axis, keepdim=True), 1 - second)
                else:
                    squares[0].lerp_(square, 1 - second)
                tensor.grad = None

    def move(self, rates: tuple[float, float]) -> None:
        """Move every tensor against its mean gradient, those behind codes by the first rate."""
        import torch

        first, second = (1 - beta**self.count for beta in BETAS)
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                mean, *squares = self.moments[name]
                if name in self._channels:
                    rows, columns = squares
                    sides = rows / rows.mean().clamp(min=1e-30), columns / second
                    change = mean.reshape(self._channels[name], -1) / first
                    for side in sides:
                        change *= side.sqrt().clamp(min=TINY).reciprocal()
                else:
                    change = (mean / first).div_((squares[0] / second).sqrt_().clamp_(min=TINY))
                rate = rates[0] if name in self._channels else rates[1]
                tensor.sub_(change.clamp_(-CAP, CAP).reshape(tensor.shape), alpha=rate)

    def rest(self) -> None:
        """Forget where the gradients pointed, as behind a change of place, but not how large they are."""
        for mean, *_ in self.moments.values():
            mean.zero_()
