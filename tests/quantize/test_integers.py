"""The reference computes as 8-bit kernels do: laws of its arithmetic, and files that agree with it to the last bits."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sdk.errors import Missing
from sdk.lowering.discovery import ready_target
from sdk.lowering.types import Range
from sdk.models.load import load_model
from sdk.models.samples import Samples
from sdk.quantize import quantize
from sdk.quantize.integers import IntegerKernel, dynamic_codes, requantize, static_codes
from sdk.rounding import round_weight
from sdk.schemes import scheme_named
from sdk.sensitivity.ranges import calibrate_ranges

FEW_BITS = 1e-6
"""Relative error that float operators between the layers may add; one code that differs would be above it."""

activations = st.floats(-1e4, 1e4, width=32).map(lambda value: 0.0 if abs(value) < 1e-20 else value)
numbers = st.lists(activations, min_size=1, max_size=40)


@settings(deadline=None)
@given(numbers)
def test_dynamic_codes_cover_the_range_and_hold_zero(values):
    row = torch.tensor([values])
    codes, zero, scale = dynamic_codes(row, (-1,))
    assert float((codes + zero).min()) >= -128 and float((codes + zero).max()) <= 127
    assert bool((codes == codes.round()).all()) and bool((codes[row == 0] == 0).all())
    assert float((codes * scale - row).abs().max()) <= float(scale) * 1.01


@settings(deadline=None)
@given(numbers, st.floats(1e-4, 10), st.integers(-128, 127))
def test_a_value_on_the_grid_keeps_its_code(values, scale, zero):
    found = Range(float(torch.tensor(scale)), zero)
    codes = static_codes(torch.tensor(values), found)
    assert torch.equal(static_codes(codes * found.scale, found), codes)
    assert torch.equal(requantize(codes, torch.tensor(1.0), found), codes)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["int8_channel_dynamic", "int4_channel_dynamic", "int4_g32_dynamic"]), st.integers(0, 99))
def test_a_kernel_is_the_product_of_what_the_codes_stand_for(scheme, seed):
    generator = torch.Generator().manual_seed(seed)
    weight, value, bias = (torch.randn(shape, generator=generator) for shape in ((8, 64), (3, 64), (8,)))
    grid = round_weight(weight, scheme_named(scheme), 0)
    codes, _, scale = dynamic_codes(value, (-1,))
    wanted = nn.functional.linear((codes * scale).double(), grid.dequantize().double(), bias.double())
    got = IntegerKernel(grid, nn.functional.linear, (-1,))(value, bias)
    assert float((got - wanted).norm() / wanted.norm()) < FEW_BITS


class Mixed(nn.Module):
    """Every kind of convolution and a residual, with linears behind a mean."""

    def __init__(self):
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 48, 1)
        self.deep, self.narrow = nn.Conv2d(48, 48, 3, 1, 1, groups=48), nn.Conv2d(48, 16, 1)
        self.last, self.head = nn.Conv2d(16, 64, 3, 1, 1), nn.Linear(64, 10)

    def forward(self, x):
        x = nn.functional.relu6(self.stem(x))
        y = nn.functional.relu6(self.deep(nn.functional.relu6(self.wide(x))))
        return self.head(self.last(x + self.narrow(y)).relu().mean((2, 3)))


@pytest.mark.parametrize("name", ["executorch", "tflite"])
@pytest.mark.parametrize("activations", ["static", "dynamic"])
def test_files_agree_with_the_reference_to_the_last_bits(name: str, activations: str, tmp_path: Path) -> None:
    try:
        target = ready_target(name)
    except Missing as missing:
        pytest.skip(str(missing))
    torch.manual_seed(0)
    model = load_model(Mixed().eval(), (torch.randn(1, 3, 20, 20),))
    samples = Samples(tuple((torch.randn(1, 3, 20, 20),) for _ in range(4)), "given", "")
    layers = [la for la in model.inventory.layers if (name, activations, la.kind) != ("executorch", "dynamic", "depthwise")]
    schemes = {layer.name: scheme_named(f"int8_channel_{activations}") for layer in layers}
    quantized = quantize(model, schemes, calibrate_ranges(model, layers, samples))
    target.lower(quantized, tmp_path / target.artifact, None, lambda _: None)
    executable, reference = target.open(tmp_path / target.artifact), target.reference(quantized)
    for inputs in samples.inputs:
        got, wanted = torch.as_tensor(executable.run([x.numpy() for x in inputs])[0]), reference(*inputs)[0]
        assert float((got - wanted).norm() / wanted.norm()) < FEW_BITS


@pytest.mark.parametrize("name", ["executorch", "tflite"])
@pytest.mark.parametrize("scheme", ["int4_g32_dynamic", "int4_g256_dynamic", "int4_channel_dynamic", "int8_channel_dynamic"])
def test_linears_sum_as_this_processors_kernel_sums(name: str, scheme: str, tmp_path: Path) -> None:
    """Scales of a channel that differ 64-fold, and inputs beside zero: sums and zero points take every bit of a float32.

    One block of a whole row is a block all the same.
    """
    try:
        target = ready_target(name)
    except Missing as missing:
        pytest.skip(str(missing))
    torch.manual_seed(0)
    module, inputs = nn.Linear(256, 32), torch.rand(4, 256) * 3 - 1
    module.weight.data = torch.randn(32, 256) * torch.exp2(-6 * torch.rand(32, 8)).repeat_interleave(32, 1)
    model = load_model(module.eval(), (inputs,))
    quantized = quantize(model, {layer.name: scheme_named(scheme) for layer in model.inventory.layers})
    target.lower(quantized, tmp_path / target.artifact, None, lambda _: None)
    got = torch.as_tensor(target.open(tmp_path / target.artifact).run([inputs.numpy()])[0])
    assert torch.equal(got, target.reference(quantized)(inputs)[0])
