"""The optimizer of recovery: Adam, with one second moment for all codes of a weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BETAS = (0.9, 0.99)
CAP = 10.0
"""Times the root mean square of a weight's gradient beyond which a single code's counts no more."""


class Descent:
    """Steps of Kingma and Ba 2015, Adam, on tensors by name.

    `shared` tensors (the values behind codes) have one second moment each, the mean over all elements: what moves is then
    what the loss asks for most. With a moment per element every code wanders equally far, and noise flips even those that
    matter little.
    """

    def __init__(self, shared: Mapping[str, Any], single: Mapping[str, Any]) -> None:
        import torch

        self.tensors, self._shared = {**shared, **single}, set(shared)
        self.count = 0
        self.moments = {name: (torch.zeros_like(t), torch.zeros(()) if name in shared else torch.zeros_like(t))
                        for name, t in self.tensors.items()}

    def observe(self) -> None:
        """Take the gradients into the moments, and forget them."""
        import torch

        self.count += 1
        first, second = BETAS
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                gradient, (mean, square) = tensor.grad, self.moments[name]
                if gradient is not None:
                    mean.lerp_(gradient, 1 - first)
                    square.lerp_(gradient.square().mean() if name in self._shared else gradient.square(), 1 - second)
                    tensor.grad = None

    def move(self, rates: tuple[float, float]) -> None:
        """Move every tensor against its mean gradient, `shared` ones by the first rate."""
        import torch

        first, second = (1 - beta**self.count for beta in BETAS)
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                mean, square = self.moments[name]
                change = (mean / first).div_((square / second).sqrt_() + 1e-12).clamp_(-CAP, CAP)
                tensor.sub_(change, alpha=rates[0] if name in self._shared else rates[1])

    def rest(self) -> None:
        """Forget where the gradients pointed, as behind a change of place, but not how large they are."""
        for mean, _ in self.moments.values():
            mean.zero_()
