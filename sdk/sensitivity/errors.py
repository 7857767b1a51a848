"""What each scheme changes in a layer's weight, and how far that goes along a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdk.models import Layer
from sdk.rounding import Grid, Refine, Statistics, feed, round_plain
from sdk.schemes import Scheme
from sdk.sensitivity.sampling import sampled

HELD = 3
"""Bytes that are held per weight and grid: the error in bfloat16, and the codes that it was made from."""


def grid_key(scheme: Scheme) -> tuple[Any, ...]:
    """What of a scheme decides the stored weight: schemes that share it share one rounding."""
    return (scheme.format, scheme.bits, scheme.granularity, scheme.group, scheme.channel_scale, scheme.scale_group)


def rounded(schemes: Sequence[Scheme]) -> list[Scheme]:
    """One scheme for each distinct grid that changes a float32 weight."""
    return list({grid_key(s): s for s in schemes if (s.format, s.bits) != ("float", 32)}.values())


class WeightErrors:
    """The errors of one layer's weights in every scheme, for one half of the samples at a time.

    Error feedback fits its rounding to samples, so each half of them is scored on weights that the other half rounded. Of a
    big layer some channels stand for all (see `sampled`).
    """

    def __init__(
        self, layer: Layer, schemes: Sequence[Scheme], params: Mapping[str, Any], statistics: Statistics,
        holds: Callable[[Layer, Scheme], bool], refine: Refine, looked_up: Any = None,
    ) -> None:
        """Round the layer's weights, which `params` holds by name, where no scheme `holds` them; `turn_to` takes the errors.

        `refine`: what follows error feedback.
        `looked_up`: the rows of a table that samples read (see `sampled`), or None.
        """
        distinct = [scheme for scheme in rounded(schemes) if not holds(layer, scheme)]
        keys = [grid_key(scheme) for scheme in distinct]
        self._layer = layer
        self._places = [keys.index(grid_key(s)) if grid_key(s) in keys else len(keys) for s in schemes]
        self._params, self._halves = params, [part for part in statistics.parts if layer.name in part]
        importance = {name: statistics.importance[name] for name in layer.weights if name in statistics.importance}
        self._some = sampled(layer, params[layer.weights[0]], importance.get(layer.weights[0]), looked_up)
        self._weights = {name: self._taken(params[name].detach()) for name in layer.weights}
        self._statistics = replace(statistics, importance={name: self._taken(value) for name, value in importance.items()})
        self._plain, self._refine = round_plain(layer, self._weights, distinct, self._statistics), refine
        self._rows: list[Any] | None = None

    def turn_away(self) -> None:
        """Hold no half's errors, where they have errors of their own."""
        if len(self._halves) == 2:
            self._rows = None

    def turn_to(self, half: int) -> None:
        """Hold the errors for the first (0) or second (1) half of the samples."""
        if len(self._halves) == 2:
            moments = self._halves[1 - half][self._layer.name]
            self._rows = self._errors(feed(self._layer, self._weights, self._plain, moments, self._statistics, self._refine))
        elif self._rows is None:
            self._rows, self._plain = self._errors(self._plain), []

    def squares(self, inputs: Any) -> Any:
        """Squares (float64, one per scheme) of how far weights and inputs go along the gradient that the weights have now.

        `inputs`: the inputs' part, one per scheme. Errors of different channels are as good as independent, and of the inputs'
        too: where channels are sampled the square of each one is taken for itself and divided by its probability (Horvitz and
        Thompson 1952), which varies less from draw to draw than the square of their sum.
        One product each, not one of matrices: what a scheme scores must not depend on which others are scored with it.
        """
        import torch

        gradient, rows = self._gradient(), self._rows or ()
        likely = None if self._some is None else self._some[1]
        if likely is None:
            found = [float(torch.dot(row.float(), gradient)) for row in rows]
            return (torch.tensor([*found, 0.0], dtype=torch.float64)[self._places] + inputs).square()
        found = [float(self._by_channel(row.float().mul_(gradient)).square().div_(likely).sum()) for row in rows]
        return torch.tensor([*found, 0.0], dtype=torch.float64)[self._places] + inputs.square()

    def _by_channel(self, products: Any) -> Any:
        """Sums of a sampled layer's flat `products` for each of its channels."""
        weight = self._weights[self._layer.weights[0]]
        return products.reshape(weight.shape).movedim(self._layer.channel_axis, 0).flatten(1).sum(1)

    def _gradient(self) -> Any:
        """The gradient of all weights one behind the other."""
        import torch

        found = []
        for name, weight in self._weights.items():
            grad = self._params[name].grad
            found.append((torch.zeros_like(weight) if grad is None else self._taken(grad)).flatten())
        return found[0] if len(found) == 1 else torch.cat(found)

    def _taken(self, values: Any) -> Any:
        return values if self._some is None else values.index_select(self._layer.channel_axis, self._some[0])

    def _errors(self, grids: Sequence[tuple[Grid, ...]]) -> list[Any]:
        import torch

        weights = list(self._weights.values())
        return [
            torch.cat([(grid.dequantize() - weight).flatten().bfloat16() for weight, grid in zip(weights, each, strict=True)])
            for each in grids
        ]
