"""A weight that lies on a grid already comes back equal, whatever the calibration data say, and is called by its name."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.models import Layer
from sdk.rounding import Moments, Statistics, lies_on, off_diagonal, recognise, round_layer, round_weight, settle
from sdk.schemes import all_schemes

GRIDS = {
    "int4_g32_dynamic": (32, -8, 7), "int4_g64": (64, -8, 7), "int4_g128": (128, -8, 7), "int4_channel": (128, -8, 7),
    "int8_channel": (128, -127, 127), "int2_channel": (128, -1, 1),
}  # fmt: skip
"""Scheme → weights that share a scale, and the ends of its integers."""


def on_grid(seed: int, group: int, low: int, high: int, inputs: int = 128, channels: int = 8) -> torch.Tensor:
    """Integers times scales of eight binary digits, as every format stores them."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(low, high + 1, (channels, inputs // group, group), generator=generator).float()
    scale = (torch.rand(channels, inputs // group, 1, generator=generator) * 0.1 + 0.001).bfloat16().float()
    return (codes * scale).reshape(channels, inputs)


@pytest.mark.parametrize("published", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", GRIDS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.sampled_from([1, 2, 4, 8]))
def test_a_weight_made_on_a_grid_comes_back_equal(name: str, published: torch.dtype, seed: int, width: int) -> None:
    group, low, high = GRIDS[name]
    if published is torch.bfloat16 and high > 7:
        return  # seven digits of integers times those of a scale do not fit into its eight: such a weight is not on a grid
    weight = on_grid(seed, group, max(low, -width), min(high, width)).to(published).float()
    grid = round_weight(weight, all_schemes()[name], 0)
    assert grid.exact and lies_on(weight, all_schemes()[name], 0)
    assert torch.equal(grid.dequantize().to(published).float(), weight)


LEVELS = {"lut1_g128": (128, 1, 1), "lut2_g128": (128, 0, 1), "lut4_g32": (32, 0, 8)}
"""Palette → weights that share a scale, and least and largest magnitude of its integers."""


@pytest.mark.parametrize("name", LEVELS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), bfloat=st.booleans())
def test_palettes_keep_few_levels_of_either_sign(name: str, seed: int, bfloat: bool) -> None:
    """1 bit, ternary and Q4_0, whose blocks end at 8 on the side of their largest value; scales are float16."""
    group, low, high = LEVELS[name]
    generator = torch.Generator().manual_seed(seed)
    size = torch.randint(low, high + (low == high), (8, 256 // group, group), generator=generator)
    signs = torch.randint(0, 2, size.shape, generator=generator) * 2 - 1
    integers = (size * signs).float()
    integers[..., 0] = -float(high)
    scale = torch.randn(8, 256 // group, 1, generator=generator)
    scale = (scale.bfloat16().float() if bfloat else scale).half().float()
    weight = (integers * scale).reshape(8, 256)
    weight[5, :group] = weight[5, :group] * (low > 0)  # a block of zeros, where the levels have one
    grid = round_weight(weight, all_schemes()[name], 0)
    assert grid.exact and lies_on(weight, all_schemes()[name], 0)
    assert torch.equal(grid.dequantize(), weight)
    assert not lies_on(weight + 1e-3 * torch.randn(8, 256, generator=generator), all_schemes()[name], 0)


def test_calibration_data_do_not_move_it() -> None:
    weight = on_grid(1, 32, -8, 7)
    inputs = torch.randn(1, 512, 128) @ torch.randn(128, 128)
    moments = Moments(inputs.transpose(1, 2) @ inputs / 512, 2, 10**9, 0.0)
    layer = Layer("fc", "linear", ("fc.weight",), (8, 128), 0, 1024, 1024, None, "x", "y", ("y",), 1)
    known = Statistics({"fc.weight": torch.rand(8, 128)}, ({"fc": moments}, {"fc": moments}))
    scheme = all_schemes()["int4_g32_dynamic"]
    (grid,) = round_layer(layer, {"fc.weight": weight}, [scheme], known, settle)[0]
    assert off_diagonal(moments.value) > 0 and torch.equal(grid.dequantize(), weight)


def test_only_the_blocks_on_a_grid_keep_it() -> None:
    weight = on_grid(2, 32, -8, 7)
    weight[3, 40] += 0.01
    grid = round_weight(weight, all_schemes()["int4_g32"], 0)
    same = (grid.dequantize() == weight).reshape(8, 4, 32).all(2)
    assert not grid.exact and int((~same).sum()) == 1 and not bool(same[3, 1])


@pytest.mark.parametrize(("made", "said"), [
    ((32, -8, 7), "4 bits in groups of 32"), ((128, -8, 7), "4 bits in groups of 128"), ((256, -7, 7), "4 bits per channel"),
    ((128, -1, 1), "ternary in groups of 128"), ((256, -127, 127), "8 bits per channel"),
])  # fmt: skip
def test_grids_have_names(made: tuple[int, int, int], said: str) -> None:
    group, low, high = made
    weight = on_grid(3, group, low, high, 256)
    assert recognise(weight, 0) == said

    assert recognise(weight + 1e-4 * torch.randn(8, 256), 0) is None


@pytest.mark.parametrize("width", [1, 2])
def test_channels_of_one_or_two_weights_lie_on_no_grid_of_a_checkpoint(width: int) -> None:
    assert recognise(torch.randn(500, width, generator=torch.Generator().manual_seed(8)), 0) is None


def test_one_bit_and_offsets_have_names_too() -> None:
    generator = torch.Generator().manual_seed(4)
    signs = torch.randint(0, 2, (8, 2, 128), generator=generator).float() * 2 - 1
    scale = torch.rand(8, 2, 1, generator=generator).half().float()
    assert recognise((signs * scale).reshape(8, 256), 0) == "1 bit in groups of 128"
    codes = torch.randint(0, 16, (8, 8, 32), generator=generator).float()
    offset = torch.rand(8, 8, 1, generator=generator).half().float()
    affine = (codes * scale.repeat_interleave(4, 1) - offset).reshape(8, 256)
    assert recognise(affine, 0) == "4 bits in groups of 32 with offsets"
