"""Codes, scales and tables are decided again to less error in the layer's output, on every kind of grid."""

from __future__ import annotations

import pytest
import torch

import sdk.rounding.columns as columns
from sdk.rounding import Grid, Moments, off_diagonal, round_weight
from sdk.rounding.feedback import feed_back, regularise
from sdk.rounding.refit import refitted
from sdk.rounding.settle import settle
from sdk.schemes import all_schemes

SCHEMES = (
    "int8_channel", "int4_channel", "int4_g32", "int2_channel", "lut1_g128", "lut2_gc4", "lut3", "lut3_scaled", "lut4_scaled",
    "lut4_g32", "lut6",
)  # fmt: skip


def _case(shape: tuple[int, ...], groups: int) -> tuple[torch.Tensor, Moments]:
    torch.manual_seed(5)
    weight = torch.randn(shape)
    k = weight[0].numel()
    inputs = torch.randn(groups, 2000, k) @ torch.randn(groups, k, k) + 0.5
    value = inputs.transpose(1, 2) @ inputs / 2000
    return weight, Moments(value, samples=2, rows=10**9, squares=2 * off_diagonal(value))


def _losses(weight: torch.Tensor, grid: Grid, moments: Moments) -> torch.Tensor:
    """Of every channel, in the regularised moments."""
    groups, k = moments.value.shape[:2]
    metric = regularise(moments, torch.arange(k).expand(groups, k)).float()
    error = (grid.dequantize() - weight).reshape(groups, -1, k)
    return ((error @ metric) * error).sum(2).flatten()


@pytest.mark.parametrize(("shape", "groups"), [((16, 128), 1), ((32, 8, 3, 3), 4), ((12, 1, 5, 5), 12)])
def test_the_output_loses_less_and_every_grid_stays_one(shape: tuple[int, ...], groups: int) -> None:
    weight, moments = _case(shape, groups)
    for name in SCHEMES:
        scheme = all_schemes()[name]
        if len(shape) > 2 and ((scheme.granularity == "group" and scheme.format == "int") or scheme.scale_group):
            continue
        fed = feed_back(weight, [round_weight(weight, scheme, 0)], moments)[0]
        (found,) = settle(weight, [fed], moments, None)
        before, after = _losses(weight, fed, moments), _losses(weight, found, moments)
        assert float(after.sum()) < float(before.sum()), name
        if scheme.format == "int" or found.table.shape[0] == shape[0]:
            assert bool((after <= before * 1.0001).all()), name
        assert found.codes.dtype == fed.codes.dtype and found.codes.shape == fed.codes.shape
        if scheme.format == "int":
            assert int(found.codes.abs().max()) <= 2 ** (scheme.bits - 1) - 1
            assert bool((found.scale > 0).all()) and torch.equal(found.scale, found.scale.half().float())
        else:
            assert int(found.codes.max()) < found.table.shape[1]
            assert bool((found.table.diff(dim=1) >= 0).all()) and torch.equal(found.table, found.table.half().float())


def test_a_table_is_the_least_squares_solution_for_its_codes() -> None:
    weight, moments = _case((16, 64), 1)
    fed = feed_back(weight, [round_weight(weight, all_schemes()["lut3"], 0)], moments)[0]
    metric = regularise(moments, torch.arange(64).expand(1, 64)).float()
    table = refitted(weight, fed, metric, None).table.clone().double().requires_grad_()
    values = table[0][fed.codes.long()]
    error = (values - weight)[None]
    ((error @ metric.double()) * error).sum().backward()
    assert table.grad is not None
    size = float((weight[None].double() @ metric.double()).abs().sum())
    assert float(table.grad.abs().max()) < 2e-3 * size


def test_channels_that_count_nothing_hardly_move_a_shared_table() -> None:
    weight, moments = _case((16, 64), 1)
    weight[8:] *= 3
    importance = torch.ones(16, 64)
    importance[8:] = 0
    fed = feed_back(weight, [round_weight(weight, all_schemes()["lut3"], 0)], moments)[0]
    alike, aware = (settle(weight, [fed], moments, each)[0] for each in (None, importance))
    assert float(_losses(weight, aware, moments)[:8].sum()) < float(_losses(weight, alike, moments)[:8].sum())


def test_a_big_matrix_settles_in_parts_to_the_same_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, moments = _case((192, 64), 1)
    for name in ("int4_channel", "int4_g32", "lut2_gc4", "lut4_scaled", "lut4_g32"):
        fed = feed_back(weight, [round_weight(weight, all_schemes()[name], 0)], moments)[0]
        (whole,) = settle(weight, [fed], moments, None)
        with monkeypatch.context() as small:
            small.setattr(columns, "PART", 64 * 64)
            (parts,) = settle(weight, [fed], moments, None)
        assert float((whole.dequantize() - parts.dequantize()).abs().mean()) < 2e-3, name


def test_company_does_not_change_what_a_grid_settles_to() -> None:
    for shape, groups in (((48, 64), 1), ((32, 8, 3, 3), 4)):
        weight, moments = _case(shape, groups)
        names = ("int8_channel", "lut4", "lut2", "int4_channel", "lut6")
        plain = [round_weight(weight, all_schemes()[name], 0) for name in names]
        fed = feed_back(weight, plain, moments)
        alone = [settle(weight, [grid], moments, None)[0] for grid in fed]
        for one, other in zip(alone, settle(weight, fed, moments, None), strict=True):
            assert torch.equal(one.dequantize(), other.dequantize())
