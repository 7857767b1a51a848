"""A small bundle that every test of a check shares: packaged once for the null target, for a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import sdk


class Net(nn.Module):
    """Two small layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 128), nn.Linear(128, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("bundle") / "net"
    samples = [(torch.randn(1, 64),) for _ in range(4)]
    sdk.package(Net(), device="pixel8", target="null", uniform="fp32", calibration=samples, out=out, name="net")
    return out
