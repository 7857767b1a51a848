"""How far a quantized model is from the float one: in its outputs, and at the end of every block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdk.lowering import Quantized
from sdk.recovery.borders import borders, observed
from sdk.recovery.student import student
from sdk.sensitivity import divergence

TRIED = 3
"""Samples after which nobody looks for rows that do not reach the outputs, where none was found."""

Terms = tuple[Any, ...]
"""Scalar tensors: the loss, then the relative squared error at the end of each block."""


class Distillation:
    """The float model and the quantized one side by side."""

    def __init__(self, quantized: Quantized, loss: str) -> None:
        self.student, self._teacher, self._loss = student(quantized), quantized.model.module(), loss
        weights = {name for layer in quantized.model.inventory.layers if layer.name in quantized.grids for name in layer.weights}
        self._outputs = len(quantized.model.outputs)
        names = borders(self._teacher, weights)
        for module in (self.student, self._teacher):
            observed(module, names)
        self._teacher.requires_grad_(True)
        self._floats = {name: parameter.detach() for name, parameter in self.student.named_parameters()}
        self._rows: dict[int, Sequence[Any]] = {}

    def terms(self, weights: Mapping[str, Any], inputs: tuple[Any, ...], place: int) -> Terms:
        """Return the terms of one sample, which gradients of `weights` (in place of the parameters so named) flow through.

        `place` tells one sample from another. The loss is exact where gradients are off.
        """
        import torch

        want, rows = self.wanted(inputs, place)
        got = tuple(torch.func.functional_call(self.student, {**self._floats, **weights}, inputs))
        first = divergence(self._loss, want[: self._outputs], got[: self._outputs], exact=not torch.is_grad_enabled())
        pairs = zip(want[self._outputs :], got[self._outputs :], rows, strict=True)
        return (first, *(_relative(a, b, chosen) for a, b, chosen in pairs))

    def apart(self, before: Mapping[str, Any], after: Mapping[str, Any], inputs: tuple[Any, ...]) -> float:
        """Return the loss of the quantized model with the weights `after` against itself with those `before`."""
        import torch

        found = [
            tuple(torch.func.functional_call(self.student, {**self._floats, **weights}, inputs))[: self._outputs]
            for weights in (before, after)
        ]
        return float(divergence(self._loss, *found))

    def wanted(self, inputs: tuple[Any, ...], place: int) -> tuple[tuple[Any, ...], Sequence[Any]]:
        """The float model's outputs and block ends, and which rows of each block's end reach the outputs.

        Rows are bool [batch, rows], or None for all. Padded tokens do not reach them: they have no gradient, and nobody has to
        reproduce them.
        """
        import torch

        if place not in self._rows and len(self._rows) >= TRIED and all(each is None for r in self._rows.values() for each in r):
            self._rows[place] = next(iter(self._rows.values()))
        with torch.set_grad_enabled(place not in self._rows):
            found = tuple(self._teacher(*inputs))
        if place not in self._rows:
            self._rows[place] = self._reaching(found[: self._outputs], found[self._outputs :])
        return tuple(each.detach() for each in found), self._rows[place]

    def _reaching(self, outputs: tuple[Any, ...], ends: tuple[Any, ...]) -> Sequence[Any]:
        import torch

        with torch.enable_grad():
            generator = torch.Generator().manual_seed(0)
            total = sum((o * torch.randn(o.shape, generator=generator)).sum() for o in outputs if o.is_floating_point())
            gradients = torch.autograd.grad(total, ends, allow_unused=True) if ends else ()
        reach = [None if g is None or g.dim() != 3 else (g != 0).any(-1) for g in gradients]
        return [None if each is None or bool(each.all()) else each for each in reach]


def _relative(want: Any, got: Any, rows: Any) -> Any:
    """Squared error of `got` relative to the squares of `want`, over the chosen rows."""
    if rows is not None:
        want, got = want[rows], got[rows]
    return (got - want).square().sum() / want.square().sum().clamp(min=1e-30)
