"""Zero pads in front of convolutions in static 8 bits stay in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from sdk.sensitivity.ranges import calibrate_ranges
from targets.executorch import TARGET
from targets.executorch.program import read_program


def operators(net: nn.Module, sample: torch.Tensor, path: Path, floats: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Operators of the file's only part; what it computes is what its reference does, to one step."""
    model = load_model(net.eval(), (sample,))
    layers = model.inventory.layers
    ranges = calibrate_ranges(model, layers, take_samples(model, [(sample,)], 1))
    schemes = {each.name: scheme_named("fp32" if each.name in floats else "int8_channel_static") for each in layers}
    quantized = quantize(model, schemes, ranges)
    TARGET.lower(quantized, path, None, lambda _: None)
    executed = np.asarray(TARGET.open(path).run([sample.numpy()])[0])
    reference = TARGET.reference(quantized)(sample)[0].numpy()
    step = ranges[layers[-1].output].scale
    assert np.abs(executed - reference).max() <= (0.01 * np.abs(reference).max() if floats else 1.01 * step)
    (only,) = read_program(path).operators
    return only


def test_a_pad_of_one_side_is_between_codes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU6(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, 2, groups=8), nn.Conv2d(8, 6, 1),
        nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(6, 4, 3, 2),
    )  # fmt: skip
    found = operators(net, torch.randn(1, 3, 16, 16), tmp_path / TARGET.artifact)
    assert found.count("pad") == 2
    assert found.count("convert") == 2  # of what comes in and goes out


def test_a_pad_that_a_float_layer_reads_too(tmp_path: Path) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, 2), nn.Conv2d(4, 4, 3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            padded = nn.functional.pad(self.first(x), (0, 1, 0, 1))
            return self.one(padded) + self.two(padded)

    torch.manual_seed(0)
    operators(Shared(), torch.randn(1, 3, 16, 16), tmp_path / TARGET.artifact, floats=("two",))


def test_a_pad_with_another_number_stays_right(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ConstantPad2d((0, 1, 0, 1), 0.7), nn.Conv2d(8, 4, 3, 2))
    operators(net, torch.randn(1, 3, 16, 16), tmp_path / TARGET.artifact)


def test_pads_of_channels_and_of_signals(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Wider(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(12, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(nn.functional.pad(self.one(x), (0, 1, 1, 0, 2, 2)))

    operators(Wider(), torch.randn(1, 3, 9, 9), tmp_path / "one.pte")
    causal = nn.Sequential(nn.Conv1d(3, 8, 1), nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(8, 4, 3))
    operators(causal, torch.randn(1, 3, 20), tmp_path / "two.pte")
