"""What chooses by order converts, whichever of its outputs is read; a sum at places that are data is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import sdk
from sdk.errors import LoweringError


class Computed(nn.Module):
    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.compute = nn.Linear(8, 8), compute

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.compute(self.layer(x))


@pytest.mark.parametrize("compute", [lambda x: x.topk(3, 1).values, lambda x: x.median(-1).values * x.argsort(1)[:, :, 0]])
def test_orders_are_computed_as_in_torch(compute: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = Computed(compute).eval(), torch.randn(1, 6, 8)
    bundle = sdk.package(net, device="pixel8", target="tflite", calibration=[(x,)], uniform="fp32", out=tmp_path / "b")
    torch.testing.assert_close(torch.as_tensor(bundle.run(x)[0]), net(x), rtol=1e-5, atol=1e-5)


def test_a_sum_at_places_that_are_data_is_named() -> None:
    net = Computed(lambda x: torch.zeros(1, 6, 8).scatter_add(2, x.argsort(-1), x)).eval()
    with pytest.raises(LoweringError, match=r"SCATTER for aten\.scatter_add\.default with a graph of its own.* one-hot"):
        sdk.plan(net, device="pixel8", target="tflite", calibration=[(torch.randn(1, 6, 8),)], uniform="fp32")
