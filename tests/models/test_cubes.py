"""Three axes become two, with the results of torch's own convolutions and pools."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sdk.models.load import load_model

CASES: dict[str, Any] = {
    "a kernel of three frames": nn.Conv3d(4, 6, 3, padding=1),
    "the same size": nn.Conv3d(4, 6, 3, padding="same"),
    "strides and steps": nn.Conv3d(4, 6, (2, 3, 3), stride=(2, 2, 1), padding=(1, 0, 2), dilation=(3, 1, 2)),
    "one frame": nn.Conv3d(4, 6, (1, 3, 3), stride=(1, 2, 2)),
    "frames alone": nn.Conv3d(4, 6, (3, 1, 1), bias=False),
    "groups": nn.Conv3d(4, 6, 3, groups=2),
    "each channel": nn.Conv3d(4, 8, 3, groups=4, padding=1),
    "points": nn.Conv3d(4, 6, 1),
    "every frame once": nn.Conv3d(4, 6, (8, 3, 3)),
    "norm": nn.Sequential(nn.Conv3d(4, 6, 3), nn.BatchNorm3d(6), nn.ReLU()),
    "greatest": nn.Sequential(nn.Conv3d(4, 6, 1), nn.MaxPool3d(2)),
    "greatest of images": nn.Sequential(nn.Conv3d(4, 6, 1), nn.MaxPool3d((1, 3, 3), 2, (0, 1, 1))),
    "mean": nn.Sequential(nn.Conv3d(4, 6, 1), nn.AvgPool3d((3, 2, 2), (1, 2, 2))),
    "pieces": nn.Sequential(nn.Conv3d(4, 6, (2, 5, 3), (2, 5, 3)), nn.Flatten(2), nn.Linear(24, 5)),
    "all": nn.Sequential(nn.Conv3d(4, 6, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_results_are_torchs_own(case: str) -> None:
    torch.manual_seed(0)
    network = CASES[case].eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm3d):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 4, 8, 10, 9)
    model = load_model(network, (x,))
    (found,) = model.module()(x)
    assert torch.allclose(found, network(x), atol=1e-5)
    assert not [n for n in model.program.graph.nodes if any(w in str(n.target) for w in ("conv3d", "pool3d", "batch_norm"))]
    first = model.inventory.layers[0]
    assert first.kind in ("conv2d", "depthwise") and first.parameters == next(network.parameters()).numel()
    assert first.macs > 0 and not model.inventory.uncovered


def test_a_layer_that_is_read_twice_is_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv3d(4, 4, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return self.layer(torch.relu(self.layer(x)))

    network, x = Twice().eval(), torch.randn(1, 4, 5, 6, 6)
    model = load_model(network, (x,))
    assert [layer.name for layer in model.inventory.layers] == ["layer"]
    assert torch.allclose(model.module()(x)[0], network(x), atol=1e-5)
