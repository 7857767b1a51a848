"""Powers of five axes convert as those of four do."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sdk.models.load import load_model
from sdk.quantize import quantize
from targets.tflite import TARGET


class Powers(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (2 * x) ** 2, x**3 - 1, (x.abs() + 1) ** 0.5, (x.abs() + 1) ** 1.5, 2**x


def test_powers_of_five_axes(tmp_path: Path) -> None:
    x, path = torch.randn(1, 3, 4, 4, 2, generator=torch.Generator().manual_seed(0)), tmp_path / "net.tflite"
    TARGET.lower(quantize(load_model(Powers(), (x,)), {}), path, None, lambda _: None)
    for got, want in zip(TARGET.open(path).run([x.numpy()]), Powers()(x), strict=True):
        torch.testing.assert_close(torch.from_numpy(got), want, rtol=1e-5, atol=1e-5)
