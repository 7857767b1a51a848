"""A bias of a static layer that an int32 cannot hold in steps of input scale times weight scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdk
from sdk.lowering.types import Range
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named


class Dead(nn.Module):
    """A channel whose weights died in training and whose bias did not, in every kind of convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.depth = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up, self.head = nn.ConvTranspose2d(8, 6, 2, 2), nn.Linear(6, 4)
        with torch.no_grad():
            self.first.weight[2] *= 1e-9
            self.depth.weight[5] *= 1e-9
            self.up.weight[:, 1] *= 1e-9
            for layer, channel in ((self.first, 2), (self.depth, 5), (self.up, 1)):
                layer.bias[channel] = 20.0

    def forward(self, x: Any) -> Any:
        x = self.up(torch.relu(self.depth(torch.relu(self.first(x)))))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("target", ["executorch", "tflite"])
@pytest.mark.parametrize("size", [1.0, 1e-7])
def test_a_bias_is_put_out_whole_beside_weights_or_inputs_of_next_to_nothing(target: str, size: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, samples = Dead().eval(), [(size * torch.randn(1, 3, 8, 8),) for _ in range(4)]
    bundle = sdk.package(net, device="pixel8", target=target, calibration=samples, uniform="q8", out=tmp_path / "b")
    with torch.no_grad():
        want = net(*samples[0])
    got = torch.as_tensor(bundle.run(*samples[0])[0])
    assert float((got - want).norm() / want.norm()) < 0.05


def test_scales_are_raised_for_the_channels_alone_that_need_it() -> None:
    torch.manual_seed(0)
    net = Dead().eval()
    model = load_model(net, (torch.randn(1, 3, 8, 8),))
    first = model.inventory.layers[0]
    schemes = {first.name: scheme_named("int8_channel_static")}
    plain, fitted = (
        quantize(model, schemes, ranges).grids[first.name][0] for ranges in ({}, {first.input: Range(0.03, 0)})
    )  # fmt: skip
    raised = (fitted.scale > plain.scale).flatten()
    assert fitted.scale.shape == plain.scale.shape and raised.tolist() == [place == 2 for place in range(8)]
    assert float(net.first.bias.abs()[2] / (0.03 * fitted.scale[2, 0])) <= 2**30 * 1.001
    assert torch.equal(fitted.codes[~raised], plain.codes[~raised])
