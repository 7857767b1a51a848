"""Three small networks with calibration data, so that a matrix of 144 cells is a matter of minutes."""

from __future__ import annotations

import torch
from torch import nn


def convolutional():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(256, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10)).eval(), (torch.zeros(1, 3, 16, 16),)


def perceptron():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 128), nn.Tanh(), nn.Linear(128, 10)).eval(), (
        torch.zeros(1, 128),
    )


def residual():
    torch.manual_seed(2)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.enter = nn.Linear(64, 128)
            self.inner = nn.ModuleList(nn.Linear(128, 128) for _ in range(4))
            self.leave = nn.Linear(128, 32)

        def forward(self, x):
            x = self.enter(x)
            for layer in self.inner:
                x = x + torch.relu(layer(x))
            return self.leave(x)

    return Residual().eval(), (torch.zeros(1, 64),)


def _samples(*shape: int):
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(1, *shape, generator=generator),) for _ in range(8)]


def images():
    return _samples(3, 16, 16)


def wide():
    return _samples(128)


def narrow():
    return _samples(64)
