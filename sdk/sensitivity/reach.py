"""Which rows of a layer's input reach the model's outputs: padded tokens do not, nor do tokens that pooling leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sdk.heap import give_back
from sdk.models import Layer
from sdk.sensitivity.taps import Taps, run_tapped

TRIED = 3
"""Samples, evenly spread, that are tried first: where every row of theirs reaches, it does everywhere."""

Reach = Mapping[str, Any]
"""Layer → which rows of its input (bool [rows]) reach an output, of one sample; layers all of whose rows do are left out."""


def reaching(module: Any, layers: Iterable[Layer], inputs: Sequence[tuple[Any, ...]]) -> list[Reach]:
    """Return the reach of every sample in `inputs`: rows without any gradient of the outputs change nothing.

    Only linear layers that are used once and read several rows are looked at. The parameters of `module` have no gradients
    afterwards.
    """
    module.requires_grad_(False)
    owners = {layer.weights[0]: layer.name for layer in layers if layer.kind == "linear" and layer.uses == 1}
    every = range(0, len(inputs), max(1, len(inputs) // TRIED))
    if not owners or not any(_reach(module, owners, inputs[i]) for i in every):
        return [{} for _ in inputs]
    return [_reach(module, owners, sample) for sample in inputs]


def _reach(module: Any, owners: Mapping[str, str], inputs: tuple[Any, ...]) -> Reach:
    import torch

    found: dict[str, Any] = {}

    def tap(name: str, value: Any) -> None:
        if value.dim() < 3 or not value.is_floating_point():
            return
        if not value.requires_grad:
            value.requires_grad_(True)
        value.register_hook(lambda grad: found.__setitem__(name, (grad != 0).any(-1).reshape(-1)))

    with torch.enable_grad():
        made = run_tapped(module, Taps(owners, tap), inputs)
        outputs = [each for each in made if each.is_floating_point() and each.requires_grad]
        if outputs:
            generator = torch.Generator().manual_seed(5)
            torch.autograd.backward(outputs, [torch.randn(each.shape, generator=generator) for each in outputs])
    give_back()  # what is kept is small, and lies behind the activations
    return {name: rows for name, rows in found.items() if bool(rows.any()) and not bool(rows.all())}
