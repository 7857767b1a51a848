"""Trained weights stay on what their scheme stores, and begin where rounding left them."""

from __future__ import annotations

import pytest
import torch

from sdk.recovery.trainable import trainable
from sdk.rounding import exact_scale, round_weight
from sdk.schemes import all_schemes

SCHEMES = ("int8_channel", "int4_channel", "int4_g32", "int2_channel", "lut2_gc4", "lut3", "lut4_scaled", "lut4_g32", "lut6")


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", [*SCHEMES, "fp16", "fp32"])
def test_it_begins_at_the_rounded_weight(name: str, axis: int) -> None:
    torch.manual_seed(1)
    weight = torch.randn(64, 64)
    weight[:, 7] = weight[9] = 0
    grid = round_weight(weight, all_schemes()[name], axis)
    made = trainable(grid, weight)
    assert made is not None
    assert torch.allclose(made.weight().detach(), grid.dequantize(), rtol=1e-6 if grid.codes is None else 0)
    assert grid.codes is None or torch.equal(made.grid().codes, grid.codes)


@pytest.mark.parametrize("name", ["int4_channel", "lut3"])
def test_codes_that_were_a_near_thing_change_first(name: str) -> None:
    torch.manual_seed(4)
    weight = torch.randn(32, 64)
    grid = round_weight(weight, all_schemes()[name], 0)
    made = trainable(grid, weight)
    assert made is not None
    with torch.no_grad():
        made.latent += 0.1
    changed = made.grid().codes != grid.codes
    off = weight - grid.dequantize()
    assert bool(changed.any()) and float(off[changed].min()) > float(off[~changed].mean())


@pytest.mark.parametrize("name", [*SCHEMES, "fp16"])
def test_after_training_weight_and_grid_agree_exactly(name: str) -> None:
    torch.manual_seed(2)
    target = torch.randn(32, 64)
    weight = torch.randn(32, 64)
    grid = round_weight(weight, all_schemes()[name], 0)
    made = trainable(grid, weight)
    assert made is not None
    adam = torch.optim.Adam([*([] if made.latent is None else [made.latent]), *made.steps], lr=0.05)
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
    for halves in (found.table, found.value, found.scale if found.table is not None else None):
        assert halves is None or torch.equal(halves, halves.half().float())
    if found.table is not None:
        assert int(found.codes.max()) < 2**found.scheme.bits and bool((found.table.diff(dim=1) >= 0).all())
    elif found.scale is not None:
        assert torch.equal(found.scale, exact_scale(found.scale, found.scheme.granularity == "group"))
        assert int(found.codes.abs().max()) <= 2 ** (found.scheme.bits - 1) - 1


def test_exact_grids_have_nothing_to_train() -> None:
    whole = torch.randint(-7, 8, (8, 32)).float() / 8
    whole[:, 0] = 7 / 8
    grid = round_weight(whole, all_schemes()["int4_g32"], 0)
    assert grid.exact and trainable(grid, whole) is None
