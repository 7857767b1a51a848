"""Layers whose weight several operators read, in static 8 bits."""

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


class SharedHead(nn.Module):
    """One head for two scales of an image, as detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.out = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = torch.relu(self.body(x))
        small = nn.functional.max_pool2d(seen, 2)
        return self.out(torch.relu(self.head(seen))), self.out(torch.relu(self.head(small)) * 3)


def test_a_head_that_several_scales_share_is_static(tmp_path: Path) -> None:
    """Only its first use was quantized behind, so that the backend left the others, whose operators no runtime has."""
    torch.manual_seed(0)
    inputs = (torch.randn(1, 3, 12, 12),)
    model = load_model(SharedHead().eval(), inputs)
    ranges = calibrate_ranges(model, model.inventory.layers, take_samples(model, [inputs], 1))
    quantized = quantize(model, {each.name: scheme_named("int8_channel_static") for each in model.inventory.layers}, ranges)
    path = tmp_path / "net.pte"
    TARGET.lower(quantized, path, None, lambda _: None)
    step = ranges[model.inventory.layers[-1].output].scale
    for executed, expected, plain in zip(
        TARGET.open(path).run([inputs[0].numpy()]), TARGET.reference(quantized)(*inputs), model.module()(*inputs), strict=True
    ):
        assert float((torch.from_numpy(np.asarray(executed)) - expected).abs().max()) <= 1.01 * step
        assert float((expected - plain.detach()).abs().max()) <= 8 * step
