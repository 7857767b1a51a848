"""Error feedback keeps grids' scales and tables, and loses less in the layer's output than rounding each weight."""

from __future__ import annotations

import pytest
import torch

import sdk.rounding.columns as columns
from sdk.models import Layer
from sdk.rounding import Grid, Moments, Statistics, off_diagonal, round_plain, round_weight
from sdk.rounding.feedback import feed_back, regularise
from sdk.schemes import all_schemes

SCHEMES = ("int8_channel", "int4_channel", "int4_g32", "int2_channel", "lut2_gc4", "lut3", "lut4_scaled", "lut4_g32", "lut6")


def _case(shape: tuple[int, ...], groups: int, rows: int = 2000) -> tuple[torch.Tensor, Moments]:
    torch.manual_seed(3)
    weight = torch.randn(shape)
    k = weight[0].numel()
    inputs = torch.randn(groups, rows, k) @ torch.randn(groups, k, k) + 0.5
    return weight, _known(inputs.transpose(1, 2) @ inputs / rows)


def _known(value: torch.Tensor) -> Moments:
    """Moments that the samples agree on."""
    return Moments(value, samples=2, rows=10**9, squares=2 * off_diagonal(value))


def _loss(weight: torch.Tensor, grid: Grid, moments: Moments) -> float:
    error = (grid.dequantize() - weight).reshape(moments.value.shape[0], -1, moments.value.shape[1])
    return float(((error @ moments.value) * error).sum())


@pytest.mark.parametrize(("shape", "groups"), [((16, 64), 1), ((32, 8, 3, 3), 4), ((12, 1, 5, 5), 12)])
def test_the_output_loses_less_on_every_grid(shape: tuple[int, ...], groups: int) -> None:
    weight, moments = _case(shape, groups)
    names = [n for n in SCHEMES if len(shape) == 2 or not (all_schemes()[n].group or all_schemes()[n].scale_group)]
    plain = [round_weight(weight, all_schemes()[n], 0) for n in names]
    for name, before, after in zip(names, plain, feed_back(weight, plain, moments), strict=True):
        assert _loss(weight, after, moments) < _loss(weight, before, moments), name
        assert after.codes.dtype == before.codes.dtype and after.codes.shape == before.codes.shape
        assert after.scale is before.scale and after.table is before.table
        if before.scheme.format == "int":
            assert int(after.codes.abs().max()) <= 2 ** (before.scheme.bits - 1) - 1
        else:
            assert int(after.codes.max()) < before.table.shape[1]


def test_grids_do_not_depend_on_the_company_they_are_in() -> None:
    weight, moments = _case((16, 64), 1)
    plain = [round_weight(weight, all_schemes()[n], 0) for n in SCHEMES]
    together = feed_back(weight, plain, moments)
    for grid, found in zip(plain, together, strict=True):
        assert torch.equal(feed_back(weight, [grid], moments)[0].codes, found.codes)


def test_a_big_matrix_is_swept_in_parts_to_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, moments = _case((192, 64), 1)
    plain = [round_weight(weight, all_schemes()[n], 0) for n in SCHEMES]
    whole = feed_back(weight, plain, moments)
    monkeypatch.setattr(columns, "PART", 64 * 64)
    for one, other in zip(whole, feed_back(weight, plain, moments), strict=True):
        assert torch.equal(one.codes, other.codes), one.scheme.name


def test_uncorrelated_inputs_leave_nothing_to_make_up_for() -> None:
    weight, _ = _case((16, 64), 1)
    moments = Moments(torch.eye(64).unsqueeze(0), 2, 10**9, 0.0)
    plain = round_weight(weight, all_schemes()["int4_channel"], 0)
    assert torch.equal(feed_back(weight, [plain], moments)[0].codes, plain.codes)


def test_singular_moments_are_usable() -> None:
    weight, _ = _case((4, 64), 1)
    row = torch.randn(1, 1, 64)
    moments = _known(row.transpose(1, 2) @ row)
    assert bool((torch.linalg.eigvalsh(regularise(moments, torch.arange(moments.value.shape[1]).unsqueeze(0))) > 0).all())
    silent = _known(torch.zeros(1, 64, 64))
    for found in (moments, silent):
        plain = round_weight(weight, all_schemes()["int4_channel"], 0)
        assert torch.isfinite(feed_back(weight, [plain], found)[0].dequantize()).all()


def test_an_outlier_that_gradients_do_not_see_keeps_its_place_where_its_input_is_large() -> None:
    torch.manual_seed(5)
    weight, inputs = torch.randn(400, 256) * 0.05, torch.randn(4000, 256)
    weight[7, 3], inputs[:, 3] = 1.0, inputs[:, 3] * 6
    unseen = torch.ones_like(weight)
    unseen[7, 3] = 0.0
    layer = Layer("l", "linear", ("l.weight",), (400, 256), 0, 102400, 102400, None, "x", "y", ("y",), 1)
    known = _known((inputs.T @ inputs / 4000).unsqueeze(0))
    statistics = Statistics({"l.weight": unseen}, ({"l": known},))
    ((grid,),) = round_plain(layer, {"l.weight": weight}, [all_schemes()["lut4"]], statistics)
    assert abs(float(grid.dequantize()[7, 3]) - 1.0) < 0.1
