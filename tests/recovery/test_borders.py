"""Blocks end where one tensor alone goes on; what does not reach the outputs is not asked for."""

from __future__ import annotations

import torch
from torch import nn

from sdk.lowering import Quantized
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.recovery.borders import borders
from sdk.recovery.distil import Distillation
from sdk.schemes import scheme_named


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.outer, self.last = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = x + self.outer(self.inner(x).relu()) * mask
        return self.last((x * mask).sum(1))


def _quantized() -> Quantized:
    torch.manual_seed(3)
    model = load_model(_Residual(), (torch.randn(1, 5, 8), torch.ones(1, 5, 1)))
    return quantize(model, {layer.name: scheme_named("int4_channel") for layer in model.inventory.layers})


def test_a_residual_block_ends_behind_its_addition() -> None:
    model = _quantized().model
    weights = {name for layer in model.inventory.layers for name in layer.weights}
    module = model.module()
    found = borders(module, weights)
    kinds = [str(next(node for node in module.graph.nodes if node.name == name).target) for name in found]
    assert kinds == ["aten.relu.default", "aten.sum.dim_IntList"]


def test_a_chain_ends_a_block_before_each_layer() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model = load_model(net, (torch.randn(1, 4),))
    found = borders(model.module(), {name for layer in model.inventory.layers for name in layer.weights})
    assert len(found) == 2 and all(name.startswith("relu") for name in found)


def test_rows_that_a_mask_hides_do_not_count() -> None:
    pair = Distillation(_quantized(), "mse")
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0]).reshape(1, 5, 1)
    given, other = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    other[:, :2] = given[:, :2]
    terms = [pair.terms({}, (x, mask), place) for place, x in enumerate((given, other))]
    assert len(terms[0]) == 3 and all(torch.allclose(a, b) for a, b in zip(*terms, strict=True))
