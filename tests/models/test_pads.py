"""Zero pads of both sides alike become the convolution's own; others stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdk.models.load import load_model


def pads_left(net: nn.Module, sample: torch.Tensor) -> int:
    model = load_model(net.eval(), (sample,))
    torch.testing.assert_close(model.module()(sample)[0], net(sample), rtol=0, atol=1e-6)
    return sum("pad" in str(node.target) for node in model.program.graph.nodes if node.op == "call_function")


@pytest.mark.parametrize(("pad", "left"), [
    (nn.ZeroPad2d((2, 2, 1, 1)), 0), (nn.ConstantPad2d(1, 0.0), 0),
    (nn.Sequential(nn.ZeroPad2d(1), nn.ZeroPad2d((0, 0, 2, 2))), 0),
    (nn.ZeroPad2d((0, 1, 0, 1)), 1), (nn.ConstantPad2d(1, 0.5), 1), (nn.ReflectionPad2d(1), 1), (nn.ZeroPad2d((-1, -1, 1, 1)), 1),
])  # fmt: skip
@pytest.mark.parametrize("stride", [1, 2])
def test_of_an_image(pad: nn.Module, left: int, stride: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(pad, nn.Conv2d(4, 6, (3, 5), stride, padding=(1, 0), dilation=(1, 2), groups=2))
    assert pads_left(net, torch.randn(2, 4, 16, 16)) == left


def test_of_a_signal() -> None:
    assert pads_left(nn.Sequential(nn.ConstantPad1d(3, 0.0), nn.Conv1d(4, 4, 5)), torch.randn(1, 4, 20)) == 0
    assert pads_left(nn.Sequential(nn.ConstantPad1d((3, 0), 0.0), nn.Conv1d(4, 4, 5)), torch.randn(1, 4, 20)) == 1


def test_what_else_reads_the_padded_image_still_does() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            padded = nn.functional.pad(x, (1, 1, 1, 1))
            return self.conv(padded) + padded[:, :, 1:-1, 1:-1]

    assert pads_left(Both(), torch.randn(1, 3, 8, 8)) == 1
    # channels and batch are nothing that a convolution pads
    assert pads_left(nn.Sequential(nn.ZeroPad2d(0), Channels(), nn.Conv2d(5, 4, 3)), torch.randn(1, 3, 8, 8)) == 1


class Channels(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x, (0, 0, 0, 0, 1, 1))
