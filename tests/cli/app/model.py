"""A small app as a user has it: a model, calibration data and a metric."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.dw = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.head = nn.Linear(256, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        y = torch.relu(self.bn(self.conv(x)))
        y = nn.functional.relu6(self.dw(y))
        y = nn.functional.avg_pool2d(y, 2).flatten(1)
        return self.out(torch.relu(self.head(y)))


def net():
    torch.manual_seed(0)
    return Net().eval(), (torch.zeros(1, 3, 8, 8),)


def bare():
    return Net().eval()


def inputs():
    return (torch.zeros(1, 3, 8, 8),)


def samples():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(1, 3, 8, 8, generator=generator),) for _ in range(4)]


def metric(run):
    float_net = net()[0]
    return -float(sum((run(x) - float_net(x)).square().mean() for (x,) in samples()).detach())
