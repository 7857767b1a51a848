"""Trained weights stay on what their scheme stores, and begin where rounding left them."""

from __future__ import annotations

import pytest
import torch

from sdk.recovery.trainable import trainable
from sdk.rounding import exact_scale, round_weight
from sdk.schemes import all_schemes

SCHEMES = ("int8_channel", "int4_channel", "int4_g32", "int2_channel", "lut2_gc4", "lut3", "lut4_scaled", "lut6")


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", SCHEMES)
def test_it_begins_at_the_rounded_weight(name: str, axis: int) -> None:
    torch.manual_seed(1)
    grid = round_weight(torch.randn(64, 64), all_schemes()[name], axis)
    made = trainable(grid)
    assert made is not None
    assert torch.equal(made.weight().detach(), grid.dequantize())
    assert torch.equal(made.grid().codes, grid.codes)


@pytest.mark.parametrize("name", SCHEMES)
def test_after_training_weight_and_grid_agree_exactly(name: str) -> None:
    torch.manual_seed(2)
    target = torch.randn(32, 64)
    grid = round_weight(torch.randn(32, 64), all_schemes()[name], 0)
    made = trainable(grid)
    assert made is not None
    adam = torch.optim.Adam([made.latent, made.steps], lr=0.05)
    losses = []
    for _ in range(40):
        adam.zero_grad()
        loss = (made.weight() - target).square().mean()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    found = made.grid()
    assert torch.equal(found.dequantize(), made.weight().detach())
    if found.table is not None:
        assert torch.equal(found.table, found.table.half().float()) and int(found.codes.max()) < 2**found.scheme.bits
        assert bool((found.table.diff(dim=1) >= 0).all())
    else:
        assert torch.equal(found.scale, exact_scale(found.scale, found.scheme.granularity == "group"))
        assert int(found.codes.abs().max()) <= 2 ** (found.scheme.bits - 1) - 1


def test_floats_have_nothing_to_train() -> None:
    assert trainable(round_weight(torch.randn(4, 4), all_schemes()["fp16"], 0)) is None
