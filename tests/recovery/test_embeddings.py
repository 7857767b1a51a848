"""Rows of an embedding that training sees are trained, the others stay."""

from __future__ import annotations

import torch
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize
from sdk.recovery import recover
from sdk.schemes import scheme_named


class _Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.Embedding(64, 32), nn.Linear(32, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.rows(ids).mean(1))


def test_rows_that_occur_are_trained() -> None:
    torch.manual_seed(2)
    model = load_model(_Bag(), (torch.zeros(1, 6, dtype=torch.int64),))
    quantized = quantize(model, {layer.name: scheme_named("int2_channel") for layer in model.inventory.layers})
    samples = take_samples(model, [torch.randint(0, 48, (1, 6)) for _ in range(200)])
    found = recover(quantized, samples, "mse", 100)
    before, after = (each["rows"][0] for each in (quantized.grids, found.grids))
    changed = (before.codes != after.codes).any(1)
    assert bool(changed[:48].any()) and not bool(changed[48:].any())
    assert torch.equal(before.scale[48:], after.scale[48:])
    assert found.after < 0.8 * found.before
