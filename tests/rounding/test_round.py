"""Rounding puts any weight exactly on the grid of any scheme, and more bits never lose more."""

from __future__ import annotations

import pytest
import torch

from sdk.rounding import round_weight
from sdk.schemes import Scheme, all_schemes, fits, scheme_named

SHAPES = {"linear": ((32, 64), 0), "conv": ((16, 8, 3, 3), 0), "depthwise": ((32, 1, 5, 5), 0), "transposed": ((8, 16, 4), 1)}


@pytest.mark.parametrize("scheme", all_schemes().values(), ids=lambda s: s.name)
@pytest.mark.parametrize("kind", SHAPES)
def test_codes_scales_and_tables_are_what_formats_hold(scheme: Scheme, kind: str) -> None:
    shape, axis = SHAPES[kind]
    if fits(scheme, shape, axis):
        pytest.skip("does not divide")  # the shape cannot hold the scheme: planning refuses it
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    grid = round_weight(weight, scheme, axis)
    assert grid.dequantize().shape == weight.shape
    if scheme.format == "int":
        most = 2 ** (scheme.bits - 1) - 1
        assert int(grid.codes.abs().max()) <= most
        assert torch.equal(grid.scale, grid.scale.half().float())
        assert scheme.granularity != "group" or torch.equal(grid.scale, grid.scale.bfloat16().float())
    if scheme.format == "lut":
        assert int(grid.codes.max()) < 2**scheme.bits
        assert torch.equal(grid.table, grid.table.half().float())


@pytest.mark.parametrize("stem", ["int{}_channel", "lut{}", "lut{}_scaled"])
def test_more_bits_lose_less(stem: str) -> None:
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(2))
    errors = [
        float((round_weight(weight, all_schemes()[stem.format(bits)], 0).dequantize() - weight).norm())
        for bits in (2, 4, 8)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_searched_scales_beat_plain_absmax() -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(3))
    scale = weight.abs().amax(1, keepdim=True) / 7
    plain = (torch.round(weight / scale).clamp(-7, 7) * scale - weight).square().mean()
    ours = (round_weight(weight, all_schemes()["int4_channel"], 0).dequantize() - weight).square().mean()
    assert ours < 0.95 * plain


def test_importance_moves_the_error_to_where_it_matters_less() -> None:
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(8, 256, generator=generator)
    importance = torch.rand(8, 256, generator=generator) ** 4
    scheme = all_schemes()["lut3"]
    with_it = round_weight(weight, scheme, 0, importance).dequantize()
    without = round_weight(weight, scheme, 0).dequantize()
    assert ((with_it - weight).square() * importance).sum() < ((without - weight).square() * importance).sum()


def test_an_all_zero_channel_keeps_a_scale_above_zero() -> None:
    weight = torch.randn(4, 32)
    weight[1] = 0
    for name in ("int8_channel", "int4_g32", "lut4_scaled"):
        grid = round_weight(weight, all_schemes()[name], 0)
        assert float(grid.scale.min()) > 0
        assert float(grid.dequantize()[1].abs().max()) < 1e-6


@pytest.mark.parametrize("name", ["lut4", "lut6"])
def test_an_outlier_of_a_large_tensor_has_an_entry_of_its_own(name: str) -> None:
    torch.manual_seed(4)
    weight = 0.05 * torch.randn(300, 131)  # more values than a table is fitted on, and no multiple of anything
    weight[7, 3], weight[200, 90] = 4.4, -3.1
    made = round_weight(weight, scheme_named(name), 0).dequantize()
    assert made[7, 3] == pytest.approx(4.4, rel=1e-3) and made[200, 90] == pytest.approx(-3.1, rel=1e-3)
    left = torch.ones_like(weight, dtype=torch.bool)
    left[7, 3] = left[200, 90] = False
    lost = ((made - weight)[left].square().mean() / weight[left].square().mean()).item()
    assert lost < {"lut4": 0.04, "lut6": 0.008}[name]
