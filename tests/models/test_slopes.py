"""PReLU of vectors is written out, exactly; that of images stays."""

from __future__ import annotations

import torch
from torch import nn

from sdk.models.load import load_model


def test_slopes_of_vectors_are_products_and_the_outputs_the_same() -> None:
    torch.manual_seed(0)
    head = [nn.Flatten(), nn.Linear(8 * 16, 16), nn.PReLU(16), nn.Linear(16, 4)]
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8), *head).eval()
    nn.init.uniform_(net[1].weight, -0.5, 0.5)
    nn.init.uniform_(net[4].weight, -0.5, 0.5)
    sample = torch.randn(1, 3, 6, 6)
    model = load_model(net, (sample,))
    assert sum(node.target is torch.ops.aten.prelu.default for node in model.program.graph.nodes) == 1
    torch.testing.assert_close(model.module()(sample)[0], net(sample), rtol=0, atol=1e-6)
