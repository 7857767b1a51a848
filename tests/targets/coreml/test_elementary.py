"""Functions that coremltools lacks or has in a form that fails at its borders: a package computes them as torch does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import sdk

BORDERS = torch.tensor([0.0, 1.0, -1.0, 2.0, -0.25])


class Computed(nn.Module):
    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.compute = nn.Linear(5, 5), compute
        nn.init.eye_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.compute(self.layer(x))


@pytest.mark.parametrize("compute", [
    lambda x: torch.atan2(x, x.transpose(1, 2)),  # every border of a quadrant
    lambda x: torch.cdist(x, x + 0.5) + torch.cdist(x, x, p=1) + torch.cdist(x, x, p=float("inf")),
    lambda x: torch.cdist(x.tile(1, 100, 50), x.tile(1, 20, 50) + 0.5)[:, ::99, ::9],  # as a product of matrices
    lambda x: (x * 1.5).trunc() + torch.fmod(x, 0.75) + torch.fmod(x, -x.abs() - 0.375),
    lambda x: x.clamp_min(0) + x.clamp_max(1),  # floats bounded by whole numbers
    lambda x: torch.div((x * 9).round().int(), 3, rounding_mode="trunc").float(),
    lambda x: torch.div((x * 9).round().int(), (x - 3).round().int(), rounding_mode="trunc").float(),
    lambda x: (x + (1 - (x > 0).float()) * torch.finfo(torch.float32).min).softmax(-1),  # a mask as numbers
    lambda x: nn.functional.scaled_dot_product_attention(
        torch.stack((x, x + 1, x - 1, 2 * x), 1), torch.stack((x, -x), 1), torch.stack((x, 3 - x), 1), enable_gqa=True
    ),  # keys and values of two heads each
])  # fmt: skip
def test_a_package_computes_as_torch(compute: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path) -> None:
    net, x = Computed(compute).eval(), BORDERS.repeat(1, 5, 1)
    samples = [(x,), (x.flip(-1),)]
    bundle = sdk.package(net, device="iphone15pro", target="coreml", calibration=samples, uniform="fp16", out=tmp_path / "b")
    torch.testing.assert_close(torch.as_tensor(bundle.run(x)[0]).float(), net(x).detach(), rtol=2e-3, atol=2e-3)
